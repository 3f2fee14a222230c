from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tollad import metrics
from tollad.bench import measures


@st.composite
def scored(draw):
    """Labels and scores of 3 members over n rows, with many ties."""
    n = draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = rng.random((3, n)) < draw(st.floats(0.1, 0.9))
    labels[:, 0], labels[:, 1] = True, False
    return labels, rng.integers(0, draw(st.integers(1, 50)), (3, n)).astype(np.float32)


@given(scored())
def test_auroc_is_that_of_metrics(drawn):
    labels, scores = drawn
    expected = [metrics.auroc(row, values) for row, values in zip(labels, scores, strict=True)]
    np.testing.assert_allclose(measures.auroc(torch.tensor(labels), torch.tensor(scores)), expected, atol=1e-12)


@given(scored(), st.floats(0.05, 0.95))
def test_f1_is_that_of_metrics(drawn, share):
    labels, scores = drawn
    expected = [metrics.f1_at_share(row, values, share) for row, values in zip(labels, scores, strict=True)]
    found = measures.f1_at_share(torch.tensor(labels), torch.tensor(scores), share)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_labels_may_be_shared():
    labels, scores = torch.tensor([[False, True]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert measures.auroc(labels, scores).tolist() == [1.0, 0.0]
    assert measures.f1_at_share(labels, scores, 0.5).tolist() == [1.0, 0.0]


def test_counts_are_exact_at_the_size_of_a_test_set():
    rng = np.random.default_rng(0)
    labels = np.arange(10_000) >= 1000
    scores = (labels + rng.normal(size=10_000)).astype(np.float32)
    found = measures.auroc(torch.tensor(labels)[None], torch.tensor(scores)[None]).item()
    assert abs(found - metrics.auroc(labels, scores)) < 1e-12
