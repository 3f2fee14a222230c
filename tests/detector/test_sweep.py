"""Sweeps: each detector is the one that a fit of its own gives, and is measured without labels."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
from detectors import COLLAPSED, FEW_STEPS, own_network, table

from tollad import TollDetector
from tollad.calls import one_by_one
from tollad.detector.sweep import CRITERIA, _JointTraining, averaged, best_of, records, sweep
from tollad.training.batches import Batches

pytestmark = pytest.mark.filterwarnings(FEW_STEPS, COLLAPSED)


def mixed(n=60):
    rng = np.random.default_rng(0)
    return pd.DataFrame({"a": rng.normal(size=n), "b": rng.choice(["x", "y", "z"], n), "c": rng.normal(size=n)})


@pytest.mark.parametrize(
    ("parameters", "rows"),
    [
        ({"n_members": 2}, table()),
        ({"corruption": None, "network": "mlp", "norm": "l1"}, table()),
        ({"target": "mean", "network": "mlp", "corruption": None}, table()),
        ({"network": "conv1d", "hidden": (4,)}, np.random.default_rng(0).normal(size=(40, 2, 9))),
        ({"network": "conv", "hidden": (4,)}, np.random.default_rng(0).normal(size=(40, 1, 8, 9))),
        ({"n_members": 3}, mixed()),
    ],
    ids=["denoising", "paper", "mean", "conv1d", "conv", "mixed"],
)
def test_each_is_what_its_own_fit_gives(parameters, rows):
    """In double precision, where only the order of sums differs; latents of several lengths in one stack."""
    parameters = {"steps": 6, "precision": "float64", "hidden": (8,)} | parameters
    found = sweep(rows, betas=(0, 4), latent_dims=(2, 5), seeds=(0, 7), **parameters)
    assert [(one.beta, one.latent_dim, one.random_state) for one in found][:3] == [(0, 2, 0), (0, 2, 7), (0, 5, 0)]
    n_held = round(0.2 * len(rows))
    held = np.sort(np.random.default_rng([len(rows), 2]).permutation(len(rows))[:n_held])
    kept = rows.drop(index=held) if isinstance(rows, pd.DataFrame) else np.delete(rows, held, axis=0)
    for one in found[1::3]:
        alone = TollDetector(beta=one.beta, latent_dim=one.latent_dim, random_state=one.random_state, **parameters)
        if not isinstance(rows, pd.DataFrame):
            np.testing.assert_allclose(one.detector.anomaly_score(rows), alone.fit(kept).anomaly_score(rows), rtol=1e-7)
            np.testing.assert_allclose(one.detector.history_.loss, alone.history_.loss, rtol=1e-7)
        assert one.detector.get_params() == alone.get_params()
        assert len(one.detector.calibration_scores_) == n_held
        assert {*one.criteria} == {*CRITERIA}


def elsewhere(function, calls):
    """Carry out calls last to first, with copies of what they are given, as other processes do."""
    for number, arguments in reversed([*enumerate(calls)]):
        yield number, function(*copy.deepcopy(arguments))


def test_stacks_that_are_trained_elsewhere_have_the_same_bits(monkeypatch):
    monkeypatch.setattr("tollad.detector.sweep._MEMBERS", 4)  # four stacks
    here, there = (
        sweep(table(), betas=(0, 1), latent_dims=(2, 3), seeds=range(2), n_members=2, steps=5, hidden=(8,), each=each)
        for each in (one_by_one, elsewhere)
    )
    assert records(here) == records(there)
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one.detector.anomaly_score(table()), other.detector.anomaly_score(table()))


FOUR_STACKS = {"betas": (0, 1), "latent_dims": (2, 3), "seeds": range(2), "n_members": 2, "steps": 5, "hidden": (8,)}
ONE_STACK = FOUR_STACKS | {"latent_dims": (2,), "seeds": (0,)}


class TestResumed:
    @pytest.fixture(autouse=True)
    def few_members_a_stack(self, monkeypatch):
        monkeypatch.setattr("tollad.detector.sweep._MEMBERS", 4)

    def killed(self, folder, monkeypatch, at):
        """Sweep into a folder until the training is asked for the batch of one step, counted over all stacks."""
        calls, batch = iter(range(10_000)), Batches.__call__

        def interrupted(self, step):
            if next(calls) == at:
                raise KeyboardInterrupt
            return batch(self, step)

        with monkeypatch.context() as patched:
            patched.setattr(Batches, "__call__", interrupted)
            patched.setattr(_JointTraining, "seconds_of_a_step", lambda self: 0.0)
            with pytest.raises(KeyboardInterrupt):
                sweep(table(), checkpoint=folder, **FOUR_STACKS)

    def test_finished_stacks_are_not_trained_again(self, tmp_path, monkeypatch):
        self.killed(tmp_path / "c", monkeypatch, at=8)  # in the second stack
        (kept,) = (tmp_path / "c").iterdir()
        before = kept.read_bytes()
        steps, batch = [], Batches.__call__
        monkeypatch.setattr(Batches, "__call__", lambda self, step: steps.append(step) or batch(self, step))
        monkeypatch.setattr(_JointTraining, "seconds_of_a_step", lambda self: 0.0)
        resumed = sweep(table(), checkpoint=tmp_path / "c", **FOUR_STACKS)
        assert len(steps) == 3 * 5
        assert kept.read_bytes() == before
        whole = sweep(table(), **FOUR_STACKS)
        assert records(resumed) == records(whole)
        for one, other in zip(resumed, whole, strict=True):
            np.testing.assert_array_equal(one.detector.anomaly_score(table()), other.detector.anomaly_score(table()))
            assert one.detector.history_ == other.detector.history_
        steps.clear()
        sweep(table(), checkpoint=tmp_path / "c", **FOUR_STACKS)
        assert not steps

    def test_a_torn_or_altered_file_is_refused(self, tmp_path):
        sweep(table(), checkpoint=tmp_path, **ONE_STACK)
        (kept,) = tmp_path.iterdir()
        whole = kept.read_bytes()
        for data in (whole[: len(whole) // 2], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
            kept.write_bytes(data)
            with pytest.raises(ValueError, match=kept.name):
                sweep(table(), checkpoint=tmp_path, **ONE_STACK)

    def test_other_rows_or_parameters_begin_anew(self, tmp_path):
        for rows, changes in [
            (table(), {}),
            (table(seed=1), {}),
            (table(), {"steps": 6}),
            (table(), {"betas": (0, 2)}),
        ]:
            sweep(rows, checkpoint=tmp_path, **ONE_STACK | changes)
        assert len([*tmp_path.iterdir()]) == 4

    def test_a_file_in_place_of_the_folder(self, tmp_path):
        (tmp_path / "c").write_text("mine")
        with pytest.raises(NotADirectoryError, match="c is no folder; give one for the checkpoints"):
            sweep(table(), checkpoint=tmp_path / "c", **FOUR_STACKS)


def test_detectors_are_whole(tmp_path):
    (one,) = sweep(mixed(), betas=(1,), seeds=(0,), steps=10, hidden=(8,), false_alarm_rate=0.1)
    one.detector.save(tmp_path / "m")
    loaded = TollDetector.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.anomaly_score(mixed()), one.detector.anomaly_score(mixed()))
    assert one.detector.decision_.rule == ("false_alarm_rate", 0.1)
    assert "agreement" not in one.criteria
    assert one.detector.explain(mixed()).scores.shape == (60,)


def test_criteria_tell_a_detector_that_learnt_from_one_that_did_not():
    along, noise = np.random.default_rng(0).normal(size=(300, 1)), np.random.default_rng(1).normal(size=(300, 3))
    rows = along * [1, -1, 1] + 0.1 * noise
    options = {"betas": (0.1,), "seeds": (0, 1), "hidden": (32,), "network": "mlp", "corruption": None}
    trained, not_trained = sweep(rows, steps=150, **options), sweep(rows, steps=1, learning_rate=1e-9, **options)
    assert min(one.criteria["shuffled"] for one in trained) > 0.9
    assert max(one.criteria["shuffled"] for one in not_trained) < 0.85
    assert all(one.remarks == () for one in trained)
    assert all("did not improve" in one.remarks[0] for one in not_trained)
    assert best_of([*trained, *not_trained], "shuffled") in trained
    assert averaged(trained).splitlines()[0].split() == ["beta", "latent", "fits", *CRITERIA]
    assert "2 warned" in averaged(not_trained)
    assert records(trained)[0]["beta"] == 0.1


def test_cost_is_said_before():
    said = []
    sweep(
        table(), betas=(0, 1), latent_dims=(2, 3), seeds=range(6), steps=10, hidden=(8,), n_members=1, say=said.append
    )
    (line,) = said
    assert line.startswith("24 fits of 1 members, 10 steps each, as 2 stacks: about ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"betas": ()}, "needs at least one beta"),
        ({"betas": (-1,)}, "beta must be"),
        ({"latent_dims": (0,)}, "latent_dim must be"),
        ({"early_stopping": True}, "early_stopping is for single fits"),
        ({"network": own_network()}, "modules of your own"),
        ({"X": table(n=19)}, "needs 20 or more; there are 19"),
    ],
)
def test_what_cannot_be_swept_is_refused(changes, words):
    with pytest.raises((ValueError, TypeError), match=words):
        sweep(**{"X": table(), "steps": 5} | changes)


def test_a_criterion_that_was_not_measured():
    (one,) = sweep(table(), betas=(1,), seeds=(0,), steps=5, hidden=(8,))
    with pytest.raises(ValueError, match="there is no auroc of these fits; there is shuffled, generalisation"):
        best_of([one], "auroc")
