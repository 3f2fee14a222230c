"""The third term: the distance to the nearest training row, against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from detectors import FEW_STEPS, KINDS, make, people, table, train
from hypothesis import given, settings
from hypothesis import strategies as st

from tollad import TollDetector
from tollad.detector.nearest import Nearest
from tollad.detector.preparation import Preparation
from tollad.detector.settings import resolve
from tollad.method.networks import traits_of

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)


def preparation_of(rows, n_members=2):
    return Preparation.learn(
        rows,
        preprocess=None if n_members == 1 else "standard",
        names=[f"x{i}" for i in range(rows.shape[1])],
        encoding=None,
        traits=traits_of("mlp"),
        n_members=n_members,
        arcsinh=n_members > 1,
    )


def kept(rows, most=10_000, n_members=2):
    return drawn(rows, most, preparation_of(rows, n_members), seed=0)


def drawn(rows, most, preparation, seed, before=None):
    wanted = resolve(TollDetector(neighbors=most).get_params(), rows.shape[1:], len(rows))
    return Nearest.draw(rows, wanted, preparation, torch.float64, seed, before)


def expected_surroundings(view):
    """The factor (1 + s_mean / max(s, s_mean / 4)) / 2 for s, the mean distance to the five nearest others, and the
    distance to the second of these."""
    n = len(view)
    spread, reaches = np.empty(n), np.empty(n)
    for i in range(n):
        others = sorted(math.dist(view[i], view[j]) for j in range(n) if j != i)
        spread[i], reaches[i] = np.mean(others[:5]), others[1]
    mean = spread.mean()
    return np.array([(1 + mean / max(s, mean / 4)) / 2 for s in spread]), reaches


def expected_distance(row, view):
    """The distance to the nearest, but for one row that it equals: no less than its reach, and with its factor."""
    factors, reaches = expected_surroundings(view)
    distances = [math.dist(row, other) for other in view]
    equal = [i for i, distance in enumerate(distances) if distance == 0]
    if len(equal) == 1:
        distances[equal[0]] = math.inf
    nearest = int(np.argmin(distances))
    return max(distances[nearest], reaches[nearest]) * factors[nearest]


class TestDistances:
    def test_by_hand(self):
        rows = table(40)
        nearest, queries = kept(rows), np.concatenate([table(20, seed=1) * 2, rows[:5]])
        views = preparation_of(rows).views(queries)
        distances, found = nearest.find(torch.from_numpy(views))
        for view in range(2):
            of_training = preparation_of(rows).views(rows)[view]
            wanted = [expected_distance(row, of_training) for row in views[view]]
            np.testing.assert_allclose(distances[view], wanted, rtol=1e-9)
            assert {tuple(row) for row in found[view]} <= {tuple(row) for row in of_training}

    def test_a_row_drawn_three_times_is_its_own_nearest(self):
        rows = np.concatenate([table(30), table(30)[:3], table(30)[:3]])
        distances, _ = kept(rows).find(torch.from_numpy(preparation_of(rows).views(rows)))
        assert (distances[:, :3] == 0).all()
        assert (distances[:, 3:30] > 0).all()

    def test_nothing_is_near_to_a_row_that_lies_alone(self):
        """It may be an anomaly among the training rows."""
        rows = np.concatenate([table(60), np.full((1, table(1).shape[1]), 30.0)])
        alone, beside = np.full((1, rows.shape[1]), 30.0), np.full((1, rows.shape[1]), 30.1)
        distances, _ = kept(rows, n_members=1).find(torch.from_numpy(np.concatenate([alone, beside, rows[:60]]))[None])
        assert distances[0, :2].min() > 3 * distances[0, 2:].max()

    def test_near_duplicates_are_told_apart_far_from_the_origin(self):
        """Products cancel there: a model file would be refused by another machine."""
        rows = 1e6 + 1e-3 * np.arange(60.0)[:, None]
        np.testing.assert_allclose(kept(rows, n_members=1).reaches[0, 1:-1], 1e-3, rtol=1e-6)

    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 1000), offset=st.sampled_from([0.0, 1e3, 1e6]), scale=st.sampled_from([1e-3, 1.0, 50.0]))
    def test_products_that_round_apart_change_nothing(self, seed, offset, scale):
        """Single precision cannot tell rows apart that lie close together and far from the origin."""
        rng = np.random.default_rng(seed)
        rows, queries = (offset + scale * rng.normal(size=(n, 3)) for n in (80, 50))
        nearest = kept(rows, n_members=1)
        _, found = nearest.find(torch.from_numpy(queries)[None])
        for query, row in zip(queries, found[0], strict=True):
            assert math.dist(query, row) == min(math.dist(query, other) for other in rows)

    def test_any_number_of_rows_gives_the_same_bits(self):
        rows = table(500)
        nearest, x = kept(rows), torch.from_numpy(preparation_of(rows).views(table(300, seed=3)))
        whole = nearest.find(x)[0]
        for start, stop in [(0, 1), (5, 8), (17, 146), (290, 300)]:
            np.testing.assert_array_equal(nearest.find(x[:, start:stop])[0], whole[:, start:stop])

    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 1000), width=st.integers(1, 6), offset=st.sampled_from([0.0, 0.5]))
    def test_of_equally_near_rows_the_first_counts(self, seed, width, offset):
        """Their distances differ by rounding, which is not the same on all machines."""
        rng = np.random.default_rng(seed)
        rows, queries = (rng.integers(0, 4, (100, width)) * 0.1 * np.pi for _ in range(2))
        nearest, queries = kept(rows, n_members=1), queries + offset * 0.1 * np.pi + 1e-3
        _, found = nearest.find(torch.from_numpy(queries)[None])
        for query, row in zip(queries, found[0], strict=True):
            distances = np.linalg.norm(nearest.views[0] - query, axis=1)
            first = np.flatnonzero(distances < distances.min() * (1 + 1e-9))[0]
            np.testing.assert_array_equal(row, nearest.views[0, first])

    @pytest.mark.parametrize("rows", [np.ones((5, 2)), np.array([[1.0, 2.0]]), np.array([[0.0, 0.0], [1.0, 1.0]])])
    def test_of_hardly_any_rows(self, rows):
        distances, _ = kept(rows, n_members=1).find(torch.from_numpy(rows)[None])
        assert np.isfinite(distances).all()


class TestDraw:
    def test_every_row_has_the_same_chance(self):
        rows = np.arange(40.0)[:, None]
        times = np.zeros(40)
        for seed in range(300):
            nearest = drawn(rows, 10, preparation_of(rows), seed)
            times[nearest.rows[:, 0].astype(int)] += 1
        assert times.sum() == 3000
        assert abs(times - 75).max() < 5 * math.sqrt(75)

    def test_later_rows_take_their_share(self):
        first, later = np.zeros((300, 1)) + np.arange(300)[:, None], 1000 + np.arange(100.0)[:, None]
        before = drawn(first, 100, preparation_of(first), 0)
        after = drawn(later, 100, preparation_of(first), 0, before)
        assert (len(after.rows), after.n_seen) == (100, 400)
        assert 10 <= (after.rows >= 1000).sum() <= 42  # 25 expected
        assert set(after.rows[after.rows < 1000]) <= set(before.rows[:, 0])


class TestInTheScore:
    def test_is_added_in_units_of_its_mean_over_the_training_rows(self):
        with_term, without = train("table"), train("table", neighbors=0)
        rows = table(20, seed=5)
        added = with_term.anomaly_score(rows) - without.anomaly_score(rows)
        assert (added > 0).all()
        assert (with_term.training_scores_ - without.training_scores_).mean() == pytest.approx(1)
        half = train("table", neighbor_weight=0.5).anomaly_score(rows) - without.anomaly_score(rows)
        np.testing.assert_allclose(half, added / 2)

    def test_beside_one_member_is_in_the_units_of_the_inputs(self):
        rows = table(20, seed=5)
        pair = [train("mlp", n_members=1, neighbors=n, preprocess=None) for n in (60, 0)]
        added = pair[0].anomaly_score(rows) - pair[1].anomaly_score(rows)
        wanted = [expected_distance(row, KINDS["mlp"][0]) for row in rows]
        np.testing.assert_allclose(added, wanted, rtol=1e-9)

    def test_training_rows_keep_their_training_scores(self):
        detector = train("table")
        np.testing.assert_array_equal(detector.anomaly_score(KINDS["table"][0]), detector.training_scores_)

    @pytest.mark.parametrize("kind", ["table", "table with gaps", "nearest of some", "nearest images"])
    def test_splits_by_column(self, kind):
        detector, rows = train(kind), KINDS[kind][0]
        explanation = detector.explain(rows)
        np.testing.assert_array_equal(explanation.scores, detector.anomaly_score(rows))
        summed = explanation.parts.reshape(len(rows), -1).sum(1) + explanation.latent
        np.testing.assert_allclose(summed, explanation.scores, rtol=1e-12)

    def test_finds_a_row_between_clusters(self):
        rng = np.random.default_rng(0)
        centers = np.array([[-6.0, -6.0], [6.0, 6.0], [-6.0, 6.0], [6.0, -6.0]])
        normal = centers[rng.integers(4, size=400)] + rng.normal(size=(400, 2))
        detector = TollDetector(random_state=0, steps=20).fit(normal)
        part = detector._scorer.nearest
        assert part is not None
        distances, _ = part.find(torch.from_numpy(detector._preparation(np.array([[0.0, 0.0], [6.0, 6.1]]))))
        assert (distances[:, 0] > 5 * distances[:, 1]).all()

    def test_frames_of_mixed_columns(self):
        detector = TollDetector(random_state=0, steps=12, hidden=(8,)).fit(people())
        np.testing.assert_array_equal(detector.anomaly_score(people()), detector.training_scores_)


class TestInTheFile:
    @pytest.mark.parametrize("kind", ["table", "table with gaps", "nearest of some", "nearest images"])
    def test_travels(self, kind, tmp_path):
        detector, rows = train(kind), KINDS[kind][0]
        detector.save(tmp_path / "m")
        np.testing.assert_array_equal(
            TollDetector.load(tmp_path / "m").anomaly_score(rows), detector.anomaly_score(rows)
        )

    def test_0_keeps_no_row(self, tmp_path):
        marked = table()
        marked[0] = 1234.5678
        for neighbors, there in ((0, False), (60, True)):
            make("mlp", neighbors=neighbors, steps=12).fit(marked).save(tmp_path / "m")
            assert (np.float64(1234.5678).tobytes() in (tmp_path / "m").read_bytes()) == there

    def test_factors_of_other_rows_are_refused(self):
        nearest, rows = kept(table(40)), table(40, seed=1)
        wanted = resolve(TollDetector().get_params(), rows.shape[1:], len(rows))
        learnt = nearest.means, nearest.factors, nearest.reaches
        with pytest.raises(ValueError, match="not those of its factors"):
            Nearest.of(rows, 40, wanted, preparation_of(rows), torch.float64, learnt)

    def test_goes_on_with_partial_fit_after_loading(self, tmp_path):
        detector = train("nearest of some")
        detector.save(tmp_path / "m")
        loaded, more = TollDetector.load(tmp_path / "m"), table(seed=9)
        np.testing.assert_array_equal(
            loaded.partial_fit(more).anomaly_score(more), detector.partial_fit(more).anomaly_score(more)
        )
        assert detector._scorer.nearest.n_seen == 120
        assert len(detector._scorer.nearest.rows) == 20
