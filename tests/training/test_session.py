"""What a fit needs around the loop; that it goes on to the bit is in laws/test_resume.py."""

from __future__ import annotations

import itertools
import signal
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import small
import torch

from tollad.io import artifact
from tollad.method.objective import Objective
from tollad.training import session as fitting
from tollad.training.adam import StackAdam
from tollad.training.batches import Batches
from tollad.training.checkpoint import Checkpoint
from tollad.training.fit import HeldOut, fit
from tollad.training.loop import train
from tollad.training.session import History

pytestmark = pytest.mark.usefixtures("global_random_states_stay")

OBJECTIVE = Objective({"l2": 1, "latent_l2": 0.1})
DID_NOT_IMPROVE = "training did not improve on the initial loss"


def make(name="mlp", n_members=1, seed=0, corrupt=False, n_rows=20):
    stack = small.stack(name, range(n_members))
    rows = torch.from_numpy(small.rows(name, n_rows, seed))
    return stack, Batches(rows, 8, range(n_members), corrupt=corrupt)


STEPS = 20


def run(steps=STEPS, learning_rate=0.01, n_members=1, **options):
    stack, batches = make(n_members=n_members)
    return stack, fit(stack, OBJECTIVE, batches, steps=steps, learning_rate=learning_rate, **options)


def held_out(n=6):
    return small.rows("mlp", n, seed=5)[None]


def best_measurement(scores):
    """Return when a member was at its best before it gave up, ten measurements after its last new best."""
    best = 0
    for i, score in enumerate(scores):
        if i - best > 10:
            break
        if score < scores[best]:
            best = i
    return best


class TestFit:
    def test_leaves_the_stack_in_evaluation_mode(self):
        assert not run()[0][0].training

    def test_learns(self):
        _, history = run(steps=200, n_members=2)
        assert all(last < 0.8 * first for last, first in zip(history.loss[-1], history.initial_loss, strict=True))

    def test_same_bits_again(self):
        one, other = run()[0].state(), run()[0].state()
        assert all(torch.equal(one[key], other[key]) for key in one)

    @pytest.mark.parametrize(("steps", "measured"), [(30, list(range(1, 31))), (250, list(range(2, 251, 2)))])
    def test_history(self, steps, measured):
        _, history = run(steps=steps, n_members=2)
        assert history.step == measured
        assert len(history.loss) == len(measured)
        assert len(history.loss[0]) == len(history.initial_loss) == 2
        assert history.held_out == []

    def test_history_is_the_mean_of_each_interval(self):
        stack, batches = make()
        losses = [loss.item() for _, loss in train(stack, OBJECTIVE, batches, StackAdam(stack, 0.01), stop=205)]
        _, history = run(steps=205)
        assert history.step[-2:] == [204, 205]  # every second step and the last
        assert history.initial_loss == [losses[0]]
        np.testing.assert_allclose(np.ravel(history.loss)[:-1], np.mean(np.reshape(losses[:204], (-1, 2)), 1))
        np.testing.assert_allclose(history.loss[-1], losses[-1:])

    def test_first_step_is_where_the_batches_begin(self):
        stack, batches = make()
        seen = []

        class Watched:
            def __call__(self, step):
                seen.append(step)
                return batches(step)

        fit(stack, OBJECTIVE, Watched(), steps=10, learning_rate=0.01, first_step=50)
        assert seen == list(range(50, 60))

    def test_cosine_rises_and_falls_to_nothing(self, monkeypatch):
        rates = []

        def watched(*args, learning_rate, **options):
            rates.extend(learning_rate(step) for step in range(options["start"], options["stop"]))
            return train(*args, learning_rate=learning_rate, **options)

        monkeypatch.setattr(fitting, "train", watched)
        run(steps=200, learning_rate=0.01, schedule="cosine", first_step=7)
        assert len(rates) == 200
        assert rates[0] == pytest.approx(0.01 / 20)
        assert np.all(np.diff(rates[:20]) > 0)
        assert np.all(np.diff(rates[20:]) < 0)
        assert rates[100] == pytest.approx(0.005)
        assert 0 < rates[-1] < 1e-5

    def test_warns_when_nothing_was_learnt(self):
        with pytest.warns(UserWarning, match=f"{DID_NOT_IMPROVE}; try a lower learning_rate, more steps"):
            run(steps=30, learning_rate=10.0)

    def test_what_goes_on_need_not_improve(self):
        run(steps=30, learning_rate=10.0, first_step=50)

    def test_not_a_number_is_an_error_with_advice(self):
        with pytest.raises(
            FloatingPointError, match=r"no longer a finite number at step \d+; lower learning_rate or beta"
        ):
            run(steps=20, learning_rate=1e200)

    def test_not_a_number_in_one_member_is_an_error(self):
        stack, batches = make(n_members=2)
        stack.state()["encoder.0.weight"][1] = float("nan")
        with pytest.raises(FloatingPointError, match="at step 1"):
            fit(stack, OBJECTIVE, batches, steps=20, learning_rate=0.01)

    def test_not_a_number_on_the_held_out_rows_is_an_error(self):
        rows = held_out()
        rows[0, 0, 0] = np.inf
        with pytest.raises(FloatingPointError, match="no longer a finite number"):
            run(held_out=HeldOut.of(rows))

    def test_a_failure_leaves_evaluation_mode(self):
        """A network of convolutions scores as it is: left in training mode, a score would depend on its batch."""
        for name in ("mlp", "conv1d"):
            stack, batches = make(name)

            class Interrupted:
                def __init__(self, batches):
                    self.batches = batches

                def __call__(self, step):
                    if step == 3:
                        raise KeyboardInterrupt
                    return self.batches(step)

            with pytest.raises(KeyboardInterrupt):
                fit(stack, OBJECTIVE, Interrupted(batches), steps=10, learning_rate=0.01)
            assert not stack[0].training, name


class TestEarlyStopping:
    def test_ends_with_the_best_weights(self):
        stack, history = run(steps=300, learning_rate=0.05, n_members=3, held_out=HeldOut.of(held_out()))
        x = torch.from_numpy(held_out()).expand(3, -1, -1)
        with torch.no_grad():
            scores = OBJECTIVE(x, *stack(x)).mean(1)
        best = [column[best_measurement(column)] for column in np.transpose(history.held_out)]
        np.testing.assert_allclose(scores.numpy(), best, rtol=1e-12)
        assert scores.tolist() != history.held_out[-1], "the last weights must not be the best for this test"

    def test_the_earliest_of_equals_is_kept(self):
        """With a step size of nothing all measurements are equal."""
        with pytest.warns(UserWarning, match=DID_NOT_IMPROVE):
            stack, history = run(steps=300, learning_rate=1e-300, held_out=HeldOut.of(held_out()))
        assert history.step[-1] < 300
        assert stack.state()["encoder.1.num_batches_tracked"].item() <= 300

    @pytest.mark.parametrize("n_members", [1, 3])
    def test_stops_when_nobody_has_improved_for_ten_measurements(self, n_members):
        _, history = run(steps=300, learning_rate=0.05, n_members=n_members, held_out=HeldOut.of(held_out()))
        best = [best_measurement(column) for column in np.transpose(history.held_out)]
        assert len(history.held_out) == max(best) + 11
        assert history.step[-1] < 300

    @pytest.mark.parametrize(("steps", "last"), [(50, 11), (199, 21), (300, 33)])
    def test_gives_up_after_a_tenth_of_the_steps(self, steps, last):
        """Or after ten measurements where these are more. With a step size of nothing the first one is the best."""
        stack, batches = make("mlp_layernorm")
        with pytest.warns(UserWarning, match=DID_NOT_IMPROVE):
            history = fit(stack, OBJECTIVE, batches, steps=steps, learning_rate=1e-300, held_out=HeldOut.of(held_out()))
        assert history.step[-1] == last

    def test_runs_to_the_end_while_it_improves(self):
        stack, batches = make("mlp_layernorm", n_rows=8)
        seen = small.rows("mlp_layernorm", 8)[None]  # the rows of every batch, so that nothing is left to chance
        history = fit(stack, OBJECTIVE, batches, steps=100, learning_rate=2e-3, held_out=HeldOut.of(seen))
        assert history.step[-1] == 100

    @pytest.mark.parametrize("target", ["batch_mean", torch.ones(small.LATENT_DIM)], ids=["batch_mean", "vector"])
    def test_held_out_score_about_a_target(self, target):
        objective = Objective({"l2": 1, "latent_l2": 2}, target)
        stack, batches = make()
        history = fit(stack, objective, batches, steps=20, learning_rate=0.01, held_out=HeldOut.of(held_out()))
        x = torch.from_numpy(held_out())
        with torch.no_grad():
            score = objective(x, *stack(x)).mean().item()
        assert score == pytest.approx(min(history.held_out)[0])

    def test_each_member_may_have_rows_of_its_own(self):
        rows = np.concatenate([held_out(), 100 + held_out()])
        _, history = run(steps=20, n_members=2, held_out=HeldOut.of(rows))
        first, second = history.held_out[0]
        assert second > 10 * first


class TestCheckpoint:
    def test_nothing_there_yet(self, tmp_path):
        assert Checkpoint(tmp_path / "c", "a").load() is None

    def test_round_trip(self, tmp_path):
        checkpoint = Checkpoint(tmp_path / "c", "a")
        checkpoint.save({"step": 3}, {"x": np.arange(3)})
        metadata, tensors = Checkpoint(tmp_path / "c", "a").load()
        assert metadata["step"] == 3
        assert tensors["x"].tolist() == [0, 1, 2]

    def test_due_after_a_second(self, tmp_path, monkeypatch):
        now = [100.0]
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        checkpoint = Checkpoint(tmp_path / "c", "a")
        assert not checkpoint.due
        now[0] += 1.1
        assert checkpoint.due
        checkpoint.save({}, {})
        assert not checkpoint.due

    def test_of_another_fit_is_refused(self, tmp_path):
        Checkpoint(tmp_path / "c", "a").save({}, {})
        with pytest.raises(
            ValueError, match=r"c: this checkpoint is of other data or other parameters, .* another file"
        ):
            Checkpoint(tmp_path / "c", "b").load()

    def test_of_another_kind_is_refused(self, tmp_path):
        artifact.save(tmp_path / "c", "model", {}, {})
        with pytest.raises(ValueError, match="'model'; give a file of kind 'checkpoint'"):
            Checkpoint(tmp_path / "c", "a").load()

    @pytest.mark.parametrize("damage", ["cut", "altered", "empty"])
    def test_damaged_is_refused_and_left_alone(self, tmp_path, damage):
        path = tmp_path / "c"
        run(checkpoint=Checkpoint(path, "a"))
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        data = {"cut": data[: len(data) // 2], "altered": data, "empty": bytearray()}[damage]
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"c (is|was) (empty|truncated|altered)"):
            run(checkpoint=Checkpoint(path, "a"))
        assert path.read_bytes() == data

    def test_finished_is_not_trained_again(self, tmp_path):
        stack, history = run(checkpoint=Checkpoint(tmp_path / "c", "a"))
        again, _ = make()

        class Refuses:
            def __call__(self, step):
                raise AssertionError("trained again")

        assert fit(
            again, OBJECTIVE, Refuses(), steps=STEPS, learning_rate=0.01, checkpoint=Checkpoint(tmp_path / "c", "a")
        )
        assert all(torch.equal(again.state()[key], tensor) for key, tensor in stack.state().items())
        assert not again[0].training
        assert history.step[-1] == STEPS

    def test_stopped_early_is_not_trained_again(self, tmp_path):
        options = {"steps": 300, "learning_rate": 0.05, "held_out": HeldOut.of(held_out())}
        stack, history = run(checkpoint=Checkpoint(tmp_path / "c", "a"), **options)
        assert history.step[-1] < 300
        again, history_again = run(checkpoint=Checkpoint(tmp_path / "c", "a"), **options)
        assert history_again == history
        assert all(torch.equal(again.state()[key], tensor) for key, tensor in stack.state().items())


class TestInterrupt:
    """Ctrl-C between steps: the state is saved, then KeyboardInterrupt is raised."""

    @pytest.fixture(autouse=True)
    def not_ignored(self):
        """Where the tests run in the background, Ctrl-C may be switched off."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    class PressedAt:
        def __init__(self, batches, step):
            self.batches, self.step = batches, step

        def __call__(self, step):
            if step == self.step:
                signal.raise_signal(signal.SIGINT)
            return self.batches(step)

    def test_saves_and_goes_on_to_the_same_weights(self, tmp_path):
        wanted, wanted_history = run()
        stack, batches = make()
        pressed = self.PressedAt(batches, 12)
        with pytest.raises(KeyboardInterrupt):
            fit(stack, OBJECTIVE, pressed, steps=STEPS, learning_rate=0.01, checkpoint=Checkpoint(tmp_path / "c", "a"))
        assert Checkpoint(tmp_path / "c", "a").load()[0]["step"] == 13
        resumed, history = run(checkpoint=Checkpoint(tmp_path / "c", "a"))
        assert history == wanted_history
        assert all(torch.equal(resumed.state()[key], tensor) for key, tensor in wanted.state().items())

    def test_handler_is_put_back(self, tmp_path):
        before = signal.getsignal(signal.SIGINT)
        run(checkpoint=Checkpoint(tmp_path / "c", "a"))
        assert signal.getsignal(signal.SIGINT) is before
        stack, batches = make()
        with pytest.raises(KeyboardInterrupt):
            fit(
                stack,
                OBJECTIVE,
                self.PressedAt(batches, 3),
                steps=STEPS,
                learning_rate=0.01,
                checkpoint=Checkpoint(tmp_path / "d", "a"),
            )
        assert signal.getsignal(signal.SIGINT) is before

    def test_without_a_checkpoint_at_once(self):
        stack, batches = make()
        with pytest.raises(KeyboardInterrupt):
            fit(stack, OBJECTIVE, self.PressedAt(batches, 3), steps=STEPS, learning_rate=0.01)

    def test_other_threads_may_use_checkpoints(self, tmp_path):
        """Only the main thread may set a handler."""
        done = []
        thread = threading.Thread(target=lambda: done.append(run(checkpoint=Checkpoint(tmp_path / "c", "a"))))
        thread.start()
        thread.join()
        assert done[0][1].step[-1] == STEPS


class TestProgress:
    def test_is_quiet_by_default(self, capsys):
        run()
        assert capsys.readouterr() == ("", "")

    def test_lines_where_there_is_no_terminal(self, capsys):
        run(steps=200, verbose=1)
        out, err = capsys.readouterr()
        assert out == ""
        lines = err.splitlines()
        assert len(lines) == 10
        assert lines[0].startswith("step 20/200  loss ")
        assert lines[-1].startswith("step 200/200  loss ")

    def test_held_out_score_is_shown(self, capsys):
        run(steps=30, verbose=1, held_out=HeldOut.of(held_out()))
        assert "  held out " in capsys.readouterr().err.splitlines()[-1]

    @pytest.mark.parametrize(
        "options", [{"steps": 30}, {"steps": 300, "learning_rate": 0.05, "held_out": HeldOut.of(held_out())}]
    )
    def test_bar_on_a_terminal_ends_with_a_line_break(self, capsys, monkeypatch, options):
        """Also when training stops early: the next message must not be written behind the bar."""
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        _, history = run(verbose=1, **options)
        shown = capsys.readouterr().err
        assert shown.count("\n") == 1
        assert shown.endswith("\n")
        assert f" {history.step[-1]}/" in shown.rstrip("\n").split("\r")[-1]

    def test_lines_where_tqdm_is_not_installed(self, capsys, monkeypatch):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        monkeypatch.setitem(sys.modules, "tqdm", None)
        run(steps=200, verbose=1)
        assert len(capsys.readouterr().err.splitlines()) == 10

    @pytest.mark.parametrize(("seconds", "said"), [(0.1, False), (2.0, True)])
    def test_long_training_is_told_how_long_it_is(self, capsys, monkeypatch, seconds, said):
        """A step takes so many seconds by the clock of the session; 195 are left at the first measurement."""
        clock = itertools.count(0, seconds)
        monkeypatch.setattr("tollad.training.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
        run(steps=200, verbose=1)
        first = capsys.readouterr().err.splitlines()[0]
        assert (first == "198 more steps are going to take about 3 minutes") == said


def test_history_begins_empty():
    assert History() == History([], [], [], [])
