"""Measures against their definitions, counted by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollad import metrics

labelled_scores = st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=12).filter(
    lambda rows: {label for label, _ in rows} == {False, True}
)


@given(rows=labelled_scores)
def test_auroc_counts_pairs(rows):
    pairs = itertools.product([s for label, s in rows if label], [s for label, s in rows if not label])
    wins = [1.0 if anomaly > normal else 0.5 if anomaly == normal else 0.0 for anomaly, normal in pairs]
    labels, scores = zip(*rows, strict=True)
    assert metrics.auroc(labels, scores) == pytest.approx(np.mean(wins))


@given(rows=labelled_scores)
def test_average_precision_sums_over_thresholds(rows):
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        called = scores >= threshold
        recall = labels[called].sum() / labels.sum()
        total += (recall - recall_before) * labels[called].mean()
        recall_before = recall
    assert metrics.average_precision(labels, scores) == pytest.approx(total)


@given(rows=labelled_scores)
def test_f1_is_the_harmonic_mean(rows):
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    alarms = scores > 2
    hits = int((labels & alarms).sum())
    assert metrics.f1(labels, alarms) == pytest.approx(2 * hits / (labels.sum() + alarms.sum()))


def test_high_scores_are_anomalous():
    assert metrics.auroc([0, 1], [0.0, 1.0]) == 1.0
    assert metrics.auroc([0, 1], [1.0, 0.0]) == 0.0
    assert metrics.average_precision([0, 0, 1], [0.0, 1.0, 2.0]) == 1.0


def test_f1_of_no_alarm_is_zero():
    assert metrics.f1([0, 1], [False, False]) == 0.0


def test_f1_at_share_of_the_paper():
    """Arrhythmia: of 90 rows the round(.854 * 90) = 77 lowest are normal, so 13 are called anomalous."""
    labels = np.array([0] * 77 + [1] * 13)
    scores = np.arange(90.0)
    assert metrics.f1_at_share(labels, scores, 0.854) == 1.0
    scores[[76, 77]] = scores[[77, 76]]
    assert metrics.f1_at_share(labels, scores, 0.854) == pytest.approx(12 / 13)


@pytest.mark.parametrize("share", [0.4, 0.5, 0.8])
def test_f1_at_share_is_the_mean_over_all_choices_among_equal_scores(share):
    """So a model that collapsed is no better than chance, in whatever order the rows come."""
    labels, scores = np.array([0, 1, 0, 1, 1]), np.array([1.0, 2.0, 2.0, 2.0, 3.0])
    n_alarms = 5 - round(share * 5)
    by_hand = []
    for order in itertools.permutations(range(5)):  # ties go by the order; all orders are as likely
        ranked = sorted(order, key=lambda row: scores[row])
        alarms = np.isin(np.arange(5), ranked[5 - n_alarms :])
        by_hand.append(metrics.f1(labels, alarms))
    assert metrics.f1_at_share(labels, scores, share) == pytest.approx(np.mean(by_hand))
    collapsed = metrics.f1_at_share(np.sort(labels), np.zeros(5), share)
    assert collapsed == pytest.approx(2 * n_alarms * 0.6 / (n_alarms + 3))


def test_f1_at_share_of_no_alarm_and_of_no_number():
    assert metrics.f1_at_share([0, 1], [1.0, 2.0], 0.9) == 0.0
    with pytest.raises(ValueError, match="scores must be finite"):
        metrics.f1_at_share([0, 1], [1.0, np.nan], 0.5)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        metrics.f1_at_share([0, 1], [1.0, 2.0, 3.0], 0.5)
    for share in (-0.2, 1.2, float("nan")):
        with pytest.raises(ValueError, match=r"normal_share must lie in \[0, 1\]"):
            metrics.f1_at_share([0, 1], [1.0, 2.0], share)


def test_false_alarm_rate():
    assert metrics.false_alarm_rate([0, 0, 0, 0, 1], [True, False, False, False, True]) == 0.25


@pytest.mark.parametrize("name", ["auroc", "average_precision", "f1"])
@pytest.mark.parametrize("labels", [[0, 0], [1, 1], [1, -1], [0, 2]])
def test_labels_must_be_zero_and_one(name, labels):
    with pytest.raises(ValueError, match=r"normal rows \(0\) and anomalies \(1\)"):
        getattr(metrics, name)(labels, [0, 1])


@pytest.mark.parametrize("name", ["f1", "false_alarm_rate"])
@pytest.mark.parametrize("alarms", [[1, -1], [0.3, 0.7]])
def test_alarms_are_no_predictions_and_no_scores(name, alarms):
    with pytest.raises(ValueError, match=r"alarms must be True or False .* such as predict\(X\) == -1"):
        getattr(metrics, name)([0, 1], alarms)


def test_labels_are_not_rounded():
    with pytest.raises(ValueError, match=r"normal rows \(0\) and anomalies \(1\)"):
        metrics.auroc([0.0, 0.5, 1.0], [1.0, 2.0, 3.0])


def test_false_alarm_rate_needs_no_anomaly():
    """Rows known to be normal are all that a false-alarm rate is about."""
    assert metrics.false_alarm_rate([0, 0, 0, 0], [True, False, False, False]) == 0.25


@pytest.mark.parametrize("name", metrics.__all__)
def test_listed_measures_are_documented(name):
    assert getattr(metrics, name).__doc__


class TestPro:
    MASKS = np.zeros((1, 4, 8), int)
    MASKS[0, 0, :4] = MASKS[0, 3, 7] = 1  # a large defect and a small one

    def test_small_defects_count_like_large_ones(self):
        heat = self.MASKS * 1.0
        heat[0, 3, 7] = 0  # the small one is not found: half of the defects at no false alarm
        assert metrics.pro(self.MASKS, heat, limit=0.01) == pytest.approx(0.5, abs=0.02)

    def test_chance_is_half_of_the_limit(self):
        heat = np.random.default_rng(0).uniform(size=(2000, 4, 8))
        assert metrics.pro(np.repeat(self.MASKS, 2000, 0), heat, limit=0.3) == pytest.approx(0.15, abs=0.02)

    def test_map_that_says_nothing(self):
        assert metrics.pro(self.MASKS, np.zeros((1, 4, 8)), limit=0.3) == pytest.approx(0.15)

    @pytest.mark.parametrize(
        ("masks", "maps", "limit", "message"),
        [
            (MASKS, np.zeros((1, 4, 7)), 0.3, "must both be"),
            (MASKS * 0, np.zeros((1, 4, 8)), 0.3, "both at least once"),
            (MASKS, np.full((1, 4, 8), np.nan), 0.3, "finite"),
            (MASKS, np.zeros((1, 4, 8)), 0, "limit must lie in"),
        ],
    )
    def test_bad_input(self, masks, maps, limit, message):
        with pytest.raises(ValueError, match=message):
            metrics.pro(masks, maps, limit=limit)
