"""The drift monitor: how rarely it warns without a change, and how soon after one."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest
from calibration.chance import frequency_exceeds

from tollad.calibration import (
    DriftMonitor,
)


class TestDriftMonitor:
    def test_capital_is_a_martingale(self):
        """Over the n + 1 + t gaps between the scores seen so far, which are equally likely, its mean stays as it is.

        This is exact conformal validity: a new score's rank among calibration and stream is uniform.
        """
        rng = np.random.default_rng(0)
        seen = list(rng.normal(size=30))
        monitor = DriftMonitor(seen, alpha=1e-9)
        for score in rng.normal(1, 1, 25):
            edges = np.sort(seen)
            inside = np.concatenate([[edges[0] - 1], (edges[:-1] + edges[1:]) / 2, [edges[-1] + 1]])
            futures = [copy.deepcopy(monitor) for _ in inside]
            for future, value in zip(futures, inside, strict=True):
                future.update([value])
            assert np.mean([future.evidence for future in futures]) == pytest.approx(monitor.evidence, rel=1e-9)
            monitor.update([score])
            seen.append(score)
        assert monitor.evidence > 2

    @pytest.mark.parametrize(
        ("n", "draw"),
        [
            (30, lambda rng, n: rng.normal(size=n)),
            (300, lambda rng, n: rng.normal(size=n)),
            (30, lambda rng, n: rng.poisson(0.5, n)),
            (30, lambda rng, n: np.ones(n)),
        ],
        ids=["few rows", "many rows", "many ties", "constant"],
    )
    def test_promised_false_warning_rate(self, n, draw):
        rng = np.random.default_rng(0)
        n_streams, alpha = 120, 0.1
        warned = [DriftMonitor(draw(rng, n), alpha, seed=i).update(draw(rng, 1200)) for i in range(n_streams)]
        assert not frequency_exceeds(sum(drift is not None for drift in warned), n_streams, alpha)

    @pytest.mark.parametrize(
        ("change", "kind", "within"),
        [
            (lambda x: x + 0.5, "higher", 300),
            (lambda x: x + 1, "higher", 80),
            (lambda x: x - 0.5, "lower", 300),
            (lambda x: x - 1, "lower", 80),
            (lambda x: 2 * x, "wider", 80),
            (lambda x: x / 2, "narrower", 150),
            (lambda x: np.where(np.arange(len(x)) % 16, x, 6), "upper tail", 800),
        ],
        ids=["+ 0.5 sd", "+ 1 sd", "- 0.5 sd", "- 1 sd", "x 2", "/ 2", "6% anomalies"],
    )
    @pytest.mark.parametrize("n_before", [0, 2000])
    def test_finds_changes_quickly(self, change, kind, within, n_before):
        rng = np.random.default_rng(0)
        delays, kinds = [], []
        for _ in range(9):
            monitor = DriftMonitor(rng.normal(size=1000))
            assert monitor.update(rng.normal(size=n_before)) is None
            drift = monitor.update(change(rng.normal(size=3000)))
            assert drift is not None
            assert drift.evidence >= 100
            delays.append(drift.row - n_before)
            kinds.append(drift.kind)
        assert np.median(delays) < within
        assert kinds.count(kind) >= 5

    def test_blocks_do_not_matter(self):
        rng = np.random.default_rng(0)
        calibration_scores, stream = rng.poisson(3, 1000), rng.poisson(4, 3000)
        whole = DriftMonitor(calibration_scores).update(stream)
        monitor = DriftMonitor(calibration_scores)
        for block in np.array_split(stream, np.sort(rng.integers(0, 3000, 200))):
            monitor.update(block)
        assert whole is not None
        assert monitor.drift is not None
        assert (monitor.drift.row, monitor.drift.kind) == (whole.row, whole.kind)
        assert monitor.drift.evidence == pytest.approx(whole.evidence)
        assert monitor.n_seen == whole.row

    def test_depends_on_ranks_alone(self):
        rng = np.random.default_rng(0)
        calibration_scores, stream = rng.normal(size=200), rng.normal(0.2, 1, 500)
        monitor, other = DriftMonitor(calibration_scores), DriftMonitor(np.exp(calibration_scores))
        monitor.update(stream)
        other.update(np.exp(stream))
        assert other.evidence == monitor.evidence != 1

    def test_memory_is_constant(self):
        def size(monitor: DriftMonitor) -> int:
            return sum(value.size for value in vars(monitor).values() if isinstance(value, np.ndarray))

        rng = np.random.default_rng(0)
        monitor = DriftMonitor(rng.normal(size=10_000))
        before = size(monitor)
        monitor.update(rng.normal(size=10_000))
        assert size(monitor) == before < 300

    def test_first_warning_stays(self):
        monitor = DriftMonitor(np.arange(500.0))
        drift = monitor.update(np.full(100, 1000.0))
        assert drift is not None
        assert monitor.update(np.arange(500.0)) is drift is monitor.drift
        assert monitor.n_seen == drift.row < 100
        assert monitor.evidence == pytest.approx(drift.evidence)

    def test_warning_is_a_sentence(self):
        drift = DriftMonitor(np.arange(500.0), alpha=0.05).update(np.full(100, 1000.0))
        assert re.fullmatch(r"drift after \d+ rows: .*; calibrate again on recent normal rows .*0.05\)", str(drift))

    def test_starts_with_capital_1(self):
        monitor = DriftMonitor([1.0])
        assert monitor.evidence == 1
        assert monitor.update([]) is None
        assert monitor.evidence == 1

    def test_bad_scores_leave_it_as_it_was(self):
        monitor, other = DriftMonitor(np.zeros(50)), DriftMonitor(np.zeros(50))
        with pytest.raises(ValueError, match="finite"):
            monitor.update([0.0, np.nan])
        monitor.update(np.zeros(20))
        other.update(np.zeros(20))
        assert monitor.evidence == other.evidence
        assert monitor.n_seen == 20
