"""Small detectors of every kind, the rows they learn from, and what it means that two of them are the same."""

from __future__ import annotations

import io
import signal

import joblib
import numpy as np
import pandas as pd
import torch
from torch import nn

from tollad import TollDetector
from tollad.training.batches import Batches

NAN = float("nan")
# Neither matters after a handful of steps.
FEW_STEPS = "ignore:training did not improve on the initial loss:UserWarning"
COLLAPSED = "ignore:the latents? .*collapsed to a point:UserWarning"


def table(n=60, seed=0, d=5):
    """Normal rows: a plane in d dimensions with a little noise."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) @ np.linspace(-1, 1, 2 * d).reshape(2, d) + 0.1 * rng.normal(size=(n, d))


def pictures(*shape, n=40, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, *[1] * len(shape))) * np.linspace(-1, 1, np.prod(shape)).reshape(
        shape
    ) + 0.1 * rng.normal(size=(n, *shape))


class Noisy(nn.Module):
    """An encoder of the user that draws random numbers while it is trained."""

    def __init__(self, d=5):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(d, 8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x):
        return self.layers(x)


def own_network(d=5, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Noisy(d), nn.Linear(2, d)


def linear_network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(5, 2), nn.Linear(2, 5)


# kind: (training rows, parameters)
KINDS = {
    "table": (table(), {"hidden": (8,)}),
    "table with gaps": (np.where(np.random.default_rng(1).random((60, 5)) < 0.1, NAN, table()), {"hidden": (8,)}),
    "one column": (table(d=1), {"hidden": (8,)}),
    "embeddings": (table(d=40), {"hidden": (8,)}),
    "paper's loss": (table(), {"corruption": None, "hidden": (8,)}),
    "mlp": (table(), {"network": "mlp", "hidden": (8,), "n_members": 3}),
    "linear": (table(), {"network": "mlp", "hidden": (), "latent_dim": 2}),
    "raw": (table(), {"preprocess": None, "hidden": (8,)}),
    "mean": (table(), {"target": "mean", "network": "mlp", "hidden": (8,)}),
    "double": (table(), {"precision": "float64", "hidden": (8,), "n_members": 2}),
    "images": (pictures(2, 8, 9), {"hidden": (4, 3)}),
    "grey images": (pictures(8, 9), {"hidden": (4,)}),
    "small images": (pictures(3, 4, 5), {"hidden": (8,)}),
    "series": (pictures(2, 9), {"network": "conv1d", "hidden": (4,), "n_members": 2}),
    "nearest of some": (table(), {"network": "mlp", "hidden": (8,), "neighbors": 20, "neighbor_weight": 0.5}),
    "nearest images": (pictures(8, 9), {"hidden": (4,), "neighbors": 20}),
    "own modules": (table(), {"network": own_network(), "n_members": 2}),
}

# Those that differ in what a fit does; the others differ in what it is given.
FEW = ["table", "mlp", "images", "series", "own modules"]
STEPS = 6


def make(kind="table", **changes):
    parameters = {"steps": STEPS, "learning_rate": 0.02, "beta": 0.1, "random_state": 0, **KINDS[kind][1]}
    return TollDetector(**{**parameters, **changes})


def train(kind="table", **changes):
    return make(kind, **changes).fit(KINDS[kind][0])


def weights(detector):
    return {name: tensor.clone() for name, tensor in detector.stack_.state().items()}


def assert_same_bits(one, other, rows):
    assert weights(one).keys() == weights(other).keys()
    for name, tensor in weights(one).items():
        assert torch.equal(tensor, weights(other)[name]), name
    np.testing.assert_array_equal(one.anomaly_score(rows), other.anomaly_score(rows))
    np.testing.assert_array_equal(one.training_scores_, other.training_scores_)
    assert one.offset_ == other.offset_


def pickled(detector):
    buffer = io.BytesIO()
    joblib.dump(detector, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


class PressedAt(Batches):
    """Ctrl-C before a step."""

    pressed_at = 4

    def __call__(self, step):
        if step == self.pressed_at:
            signal.raise_signal(signal.SIGINT)
        return super().__call__(step)


def people(n=80, seed=0):
    """A frame of numbers with gaps, categories and dates."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, n),
            "city": rng.choice(["Bonn", "Oslo", "Rome"], n),
            "seen": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 365, n), unit="D"),
            "member": rng.random(n) < 0.5,
        }
    )
    frame.loc[::9, "age"] = NAN
    return frame
