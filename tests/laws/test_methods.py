"""Laws of all methods of the tables at once."""

from __future__ import annotations

import dataclasses
import re
import signal
from typing import Any

import made
import numpy as np
import pytest

import tollad.methods
from tollad.methods.neural import Neural
from tollad.training import build as training_build
from tollad.training.checkpoint import Checkpoint

pytestmark = pytest.mark.usefixtures("global_random_states_stay")

NAMES = tollad.methods.__all__
# The networks of ADGAN cannot be made small: its cases take half a minute.
METHODS = [pytest.param(name, marks=pytest.mark.slow) if name == "ADGAN" else name for name in NAMES]
NEURAL = [
    method for name, method in zip(NAMES, METHODS, strict=True) if issubclass(getattr(tollad.methods, name), Neural)
]


# Each is fitted five times to be resumed twice, which takes these long.
LONG = ["ALAD", "ARNet", "GANomaly", "GeoTrans", "OCGAN"]
RESUMED = [pytest.param(method, marks=pytest.mark.slow) if method in LONG else method for method in NEURAL]


class Fitted(dict[str, Any]):
    """One small fit of each method, when it is first asked for, and never changed."""

    def __missing__(self, name):
        self[name] = made.method(name).fit(made.samples(name))
        return self[name]


@pytest.fixture(scope="module")
def fitted():
    return Fitted()


def test_what_is_made_small_are_methods():
    assert set(made.SMALL) <= set(NAMES)


@pytest.mark.parametrize("name", METHODS)
def test_a_score_is_finite_and_one_number_a_row(fitted, name):
    scores = fitted[name].anomaly_score(made.samples(name, 70, seed=1))

    assert scores.shape == (70,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    assert np.ptp(scores) > 0


@pytest.mark.parametrize("name", METHODS)
def test_a_score_depends_on_nothing_but_its_row(fitted, name):
    """To the last bit: alone, in another order, in other company."""
    method, rows = fitted[name], made.samples(name, 70, seed=1)
    scores = method.anomaly_score(rows)

    assert (method.anomaly_score(rows[::-1])[::-1] == scores).all()
    assert (method.anomaly_score(rows[65:66]) == scores[65]).all()
    assert (method.anomaly_score(np.concatenate([rows[:3] * 9, rows[40:]]))[3:] == scores[40:]).all()


# Their samples above are rows of a table, but they have networks for images, too.
OF_BOTH = ["DAGMM", "DCAE", "DSEBM", "DeepSVDD", "GANomaly", "MEMGAN", "MemAE", "VAE"]
LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in ("ALAD", "AnoGAN")]


@pytest.mark.parametrize("name", [*OF_BOTH, *LARGE])
def test_a_score_of_an_image_depends_on_nothing_but_it(name):
    images = made.images(14, side=32).repeat(3, 1) if name == "ALAD" else made.images(14)
    method = made.method(name, scale="unit", epochs=1).fit(images[:8])
    scores = method.anomaly_score(images[8:])

    assert (method.anomaly_score(images[:7:-1])[::-1] == scores).all()
    assert (method.anomaly_score(images[10:11]) == scores[2]).all()
    assert (method.anomaly_score(np.concatenate([255 - images[:4], images[8:]]))[4:] == scores).all()


@pytest.mark.parametrize("name", NEURAL)
def test_without_an_epoch_the_score_is_that_of_the_untrained_network(fitted, name):
    """The line that a result belongs beside: some published networks do no better."""
    rows = made.samples(name)
    untrained = {"DeepSVDD": {"epochs": 0, "pretrain_epochs": 0}, "GOAD": {"trained": False}}.get(name, {"epochs": 0})

    scores = made.method(name, **untrained).fit(rows).anomaly_score(rows)

    assert np.isfinite(scores).all()
    assert np.ptp(scores) > 0
    assert (scores != fitted[name].anomaly_score(rows)).any()


@pytest.mark.parametrize("name", METHODS)
def test_one_seed_gives_the_same_bits_and_leaves_the_rows_alone(fitted, name):
    rows = made.samples(name)
    rows.flags.writeable = False

    again = made.method(name).fit(rows)

    assert (again.anomaly_score(rows) == fitted[name].anomaly_score(rows)).all()


@pytest.mark.parametrize("name", NEURAL)
def test_another_seed_gives_another_score(fitted, name):
    rows = made.samples(name)

    assert (made.method(name, seed=1).fit(rows).anomaly_score(rows) != fitted[name].anomaly_score(rows)).any()


@pytest.mark.parametrize("name", METHODS)
def test_a_file_scores_as_what_was_saved(fitted, name, tmp_path):
    method, rows = fitted[name], made.samples(name, 9, seed=2)
    method.save(tmp_path / "method.tollad")

    loaded = type(method).load(tmp_path / "method.tollad")

    assert (loaded.anomaly_score(rows) == method.anomaly_score(rows)).all()
    assert dataclasses.asdict(loaded) == dataclasses.asdict(method)
    other = getattr(tollad.methods, next(other for other in NAMES if other != name))
    with pytest.raises(ValueError, match=f"holds {name}, not"):
        other.load(tmp_path / "method.tollad")


@pytest.mark.parametrize("name", RESUMED)
def test_an_interrupted_fit_goes_on_to_the_same_bits(fitted, name, tmp_path, monkeypatch):
    rows, path, steps = made.samples(name), tmp_path / "fit.tollad", []

    class InterruptionError(Exception):
        pass

    def save(self, metadata, tensors, original=Checkpoint.save):
        original(self, metadata, tensors)
        steps.append((metadata["phase"], metadata["step"]))
        if len(steps) in stops:
            raise InterruptionError

    monkeypatch.setattr(Checkpoint, "due", True)
    monkeypatch.setattr(Checkpoint, "save", save)
    stops = []
    made.method(name).fit(rows, checkpoint=tmp_path / "whole.tollad")
    every, n = steps.copy(), len(steps)
    for stop in {2, n - 1}:  # in the first phase and in the last
        stops[:] = [stop]
        path.unlink(missing_ok=True)
        steps.clear()
        with pytest.raises(InterruptionError):
            made.method(name).fit(rows, checkpoint=path)
        stops.clear()
        resumed = made.method(name).fit(rows, checkpoint=path)

        assert steps == every, "no step is taken twice"
        assert (resumed.anomaly_score(rows) == fitted[name].anomaly_score(rows)).all()
    with pytest.raises(ValueError, match="of other data or other parameters"):
        made.method(name, seed=5).fit(rows, checkpoint=path)


def test_ctrl_c_saves_the_state_first(fitted, tmp_path):
    rows, path, steps = made.samples("DAGMM"), tmp_path / "fit.tollad", []

    def press(step):
        steps.append(step)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        made.method("DAGMM").fit(rows, watch=press, n_watches=2, checkpoint=path)
    resumed = made.method("DAGMM").fit(rows, watch=steps.append, n_watches=2, checkpoint=path)

    assert len(steps) == 2, "no step is taken twice"
    assert (resumed.anomaly_score(rows) == fitted["DAGMM"].anomaly_score(rows)).all()


@pytest.mark.parametrize("name", NEURAL)
def test_what_is_watched_changes_nothing_and_may_score(fitted, name):
    rows, seen = made.samples(name), []
    method = made.method(name)

    method.fit(rows, watch=lambda step: seen.append((step, method.anomaly_score(rows), method.state())), n_watches=2)

    assert (method.anomaly_score(rows) == fitted[name].anomaly_score(rows)).all()
    assert (seen[-1][1] == method.anomaly_score(rows)).all()
    assert len(seen) == 2
    method.load_state(seen[0][2])
    assert (method.anomaly_score(rows) == seen[0][1]).all()


@pytest.mark.parametrize("name", NEURAL)
def test_a_loss_that_is_no_number_ends_the_fit_with_its_reason(name):
    with pytest.raises(FloatingPointError, match=r"no longer a finite number at step \d+ of"):
        made.method(name, learning_rate=1e35, epochs=9).fit(made.samples(name))


@pytest.mark.parametrize("name", METHODS)
def test_rows_that_memory_would_not_hold_are_refused_before_the_fit(name, monkeypatch):
    rows = made.samples(name)
    monkeypatch.setattr(training_build, "_available_memory", lambda device: 12 * rows.size - 1)
    with pytest.raises(MemoryError, match=r"these rows need about .* GiB of memory, .* are free; give fewer of them"):
        made.method(name).fit(rows)


@pytest.mark.parametrize("name", METHODS)
def test_rows_that_do_not_suit_are_refused_in_words(fitted, name):
    method = fitted[name]
    samples = made.samples(name)
    shape = samples.shape[1:]
    with pytest.raises(ValueError, match=rf"rows of shape {re.escape(str(shape))}, not "):
        method.anomaly_score(samples[..., :-1])
    with pytest.raises(ValueError, match="NaN or infinite"):
        method.anomaly_score(np.full((2, *shape), np.nan))
    with pytest.raises(ValueError, match="masked values; fill or remove them"):
        method.anomaly_score(np.ma.masked_equal(samples, samples.flat[0]))
    for empty in ((0, *shape), (5, *shape[:-1], 0)):
        with pytest.raises(ValueError, match=rf"numbers of shape .* not float64 of shape {re.escape(str(empty))}"):
            made.method(name).fit(np.zeros(empty))
    with pytest.raises(ValueError, match="values beyond 1e\\+150, whose squares overflow"):
        made.method(name).fit(1e200 * samples.astype(float))
    with pytest.raises(ValueError, match="not fitted yet"):
        made.method(name).anomaly_score(samples)
    with pytest.raises(ValueError, match="no scaling 'other'"):
        made.method(name, scale="other")


@pytest.mark.parametrize("name", METHODS)
def test_a_single_row_is_fitted_or_refused_in_words(name):
    """And so is one value in all rows: no method divides by its variance."""
    samples = made.samples(name)
    same = np.full_like(samples[:12], 3)
    assert np.isfinite(made.method(name).fit(same).anomaly_score(samples[:2])).all()
    try:
        assert np.isfinite(made.method(name).fit(samples[:1]).anomaly_score(samples[:2])).all()
    except ValueError as error:
        assert re.search(r"give 2 rows|needs 2|cross-validation needs|below the 1 training rows", str(error))  # noqa: PT017
