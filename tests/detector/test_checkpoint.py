"""Fits that go on from a checkpoint end as if nothing had happened."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from detectors import (
    FEW,
    KINDS,
    STEPS,
    PressedAt,
    assert_same_bits,
    make,
    own_network,
    table,
)

import tollad.detector.fitting
from tollad import TollDetector
from tollad.io import artifact
from tollad.training.batches import Batches

pytestmark = pytest.mark.usefixtures("global_random_states_stay")


class TestCheckpoint:
    @pytest.mark.parametrize("kind", [*FEW, "mean", "double"])
    def test_interrupted_and_continued(self, fitted, kind, tmp_path, monkeypatch):
        rows = KINDS[kind][0]
        with monkeypatch.context() as patch:
            patch.setattr(tollad.detector.fitting, "Batches", PressedAt)
            with pytest.raises(KeyboardInterrupt):
                make(kind).fit(rows, checkpoint=tmp_path / "c")
        continued = make(kind).fit(rows, checkpoint=tmp_path / "c")
        assert_same_bits(continued, fitted[kind], rows)
        assert continued.history_ == fitted[kind].history_
        assert continued.n_steps_ == STEPS

    def test_with_early_stopping(self, tmp_path, monkeypatch):
        def fit(**options):
            return make("mlp", early_stopping=True, steps=200, learning_rate=0.1).fit(table(), **options)

        wanted = fit()
        with monkeypatch.context() as patch:
            patch.setattr(tollad.detector.fitting, "Batches", PressedAt)
            with pytest.raises(KeyboardInterrupt):
                fit(checkpoint=tmp_path / "c")
        assert_same_bits(fit(checkpoint=tmp_path / "c"), wanted, table())

    @pytest.mark.parametrize("kind", FEW)
    def test_finished_returns_at_once(self, fitted, kind, tmp_path, monkeypatch):
        rows = KINDS[kind][0]
        make(kind).fit(rows, checkpoint=tmp_path / "c")

        def fails(*_, **__):
            raise AssertionError("trained again")

        monkeypatch.setattr(Batches, "__call__", fails)
        assert_same_bits(make(kind).fit(rows, checkpoint=tmp_path / "c"), fitted[kind], rows)

    def test_without_interruption_changes_nothing(self, fitted, tmp_path):
        assert_same_bits(make().fit(table(), checkpoint=str(tmp_path / "c")), fitted["table"], table())

    def test_verbosity_may_change(self, tmp_path, capsys):
        make().fit(table(), checkpoint=tmp_path / "c")
        make(verbose=1).fit(table(), checkpoint=tmp_path / "c")

    @pytest.mark.parametrize(
        "changes",
        [
            {"beta": 0.2},
            {"steps": STEPS + 1},
            {"random_state": 1},
            {"hidden": (9,)},
            {"early_stopping": True},
            {"norm": "l1"},
        ],
        ids=str,
    )
    def test_other_parameters_are_refused(self, tmp_path, changes):
        make().fit(table(), checkpoint=tmp_path / "c")
        before = (tmp_path / "c").read_bytes()
        with pytest.raises(ValueError, match="c: this checkpoint is of other data or other parameters"):
            make(**changes).fit(table(), checkpoint=tmp_path / "c")
        assert (tmp_path / "c").read_bytes() == before

    @pytest.mark.filterwarnings("ignore:column '.*' holds whole numbers beyond")
    @pytest.mark.parametrize("change", ["value", "order", "fewer", "shape", "names", "type"])
    def test_other_rows_are_refused(self, tmp_path, change):
        rows = table()
        other = {
            "value": np.where(np.arange(60)[:, None] == 17, rows + 1e-9, rows),
            "order": rows[::-1],
            "fewer": rows[:-1],
            "shape": rows.reshape(50, 6),
            "names": pd.DataFrame(rows, columns=list("abcde")),
            "type": rows.view(np.int64),
        }[change]
        make().fit(rows, checkpoint=tmp_path / "c")
        with pytest.raises(ValueError, match="other data or other parameters"):
            make().fit(other, checkpoint=tmp_path / "c")

    def test_other_weights_of_own_modules_are_refused(self, tmp_path):
        make("own modules").fit(table(), checkpoint=tmp_path / "c")
        with pytest.raises(ValueError, match="other data or other parameters"):
            make("own modules", network=own_network(seed=1)).fit(table(), checkpoint=tmp_path / "c")

    @pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)], ids=["None", "RandomState"])
    def test_needs_a_seed(self, tmp_path, random_state):
        with pytest.raises(ValueError, match="a checkpoint needs random_state=<an integer>"):
            make(random_state=random_state).fit(table(), checkpoint=tmp_path / "c")
        assert not (tmp_path / "c").exists()

    def test_damaged_is_refused(self, tmp_path):
        make().fit(table(), checkpoint=tmp_path / "c")
        data = bytearray((tmp_path / "c").read_bytes())
        data[len(data) // 2] ^= 255
        (tmp_path / "c").write_bytes(data)
        with pytest.raises(ValueError, match="c was altered"):
            make().fit(table(), checkpoint=tmp_path / "c")

    def test_folder_that_is_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            make().fit(table(), checkpoint=tmp_path / "missing" / "c")

    @pytest.mark.slow
    def test_killed_and_continued(self, tmp_path):
        """kill -9 in the middle: whatever state was saved is whole, and leads to the same scores."""
        rows, path = tmp_path / "rows.npy", tmp_path / "c"
        np.save(rows, table())
        # Slow enough to be killed in the middle, whatever the machine.
        script = (
            "import sys, time, numpy as np, torch\n"
            "from tollad import TollDetector\nfrom tollad.detector import fitting as detector\n"
            "torch.set_num_threads(1)\n"
            "class Slow(detector.Batches):\n"
            "    def __call__(self, step):\n"
            "        time.sleep(0.01)\n"
            "        return super().__call__(step)\n"
            "detector.Batches = Slow\n"
            "parameters = dict(network='mlp', hidden=(8,), steps=400, beta=0.1, random_state=0)\n"
            "TollDetector(**parameters).fit(np.load(sys.argv[1]), checkpoint=sys.argv[2])\n"
        )
        process = subprocess.Popen([sys.executable, "-c", script, rows, path])
        deadline = time.monotonic() + 60
        while not path.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        process.wait()
        step = artifact.load(path, "checkpoint")[0]["step"]
        assert 0 < step < 400, "the process has to be killed in the middle"

        def detector():
            return TollDetector(network="mlp", hidden=(8,), steps=400, beta=0.1, random_state=0)

        assert_same_bits(detector().fit(table(), checkpoint=path), detector().fit(table()), table())

    def test_another_thread(self, fitted, tmp_path):
        done = []
        thread = threading.Thread(target=lambda: done.append(make().fit(table(), checkpoint=tmp_path / "c")))
        thread.start()
        thread.join()
        assert_same_bits(done[0], fitted["table"], table())
