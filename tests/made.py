"""The smallest fit of every method, so that the laws find a new one by itself."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tollad.methods
from tollad.methods.base import Comparator

# What makes any method small that has such fields: a few steps of a few rows.
_FEW: dict[str, Any] = {"epochs": 2, "steps": 20, "batch_size": 10, "latent_dim": 3}
# What some need besides. A method that is not named here is tested all the same.
SMALL: dict[str, dict[str, Any]] = {
    "ADGAN": {"epochs": 1, "batch_size": 10, "latent_dim": 3, "n_starts": 1, "n_steps": 1},
    "ALAD": {"epochs": 2, "batch_size": 10, "latent_dim": 3},
    "ARNet": {"epochs": 2, "batch_size": 10, "width": 4},
    "AnoGAN": {"epochs": 2, "batch_size": 10, "latent_dim": 3, "n_steps": 5, "n_starts": 2},
    "DCAE": {"epochs": 3, "batch_size": 8},
    "DAGMM": {"epochs": 3, "batch_size": 10, "n_components": 3},
    "DSEBM": {"epochs": 3, "batch_size": 10, "hidden": (5, 4)},
    "DeepSVDD": {"epochs": 3, "pretrain_epochs": 2, "batch_size": 8, "soft": True, "warm_up": 1},
    "DistanceToMean": {},
    "FITYMI": {"backbone": "random", "side": 16, "epochs": 2, "batch_size": 10},
    "GANomaly": {"epochs": 2, "batch_size": 10, "latent_dim": 3, "width": 4},
    "GOAD": {"epochs": 2, "batch_size": 8, "n_maps": 6, "map_dim": 4},
    "GeoTrans": {"epochs": 1, "batch_size": 10, "maps": "turns", "widen": 1},
    "IsolationForest": {"n_trees": 5},
    "KDE": {},
    "MEMGAN": {"epochs": 2, "batch_size": 10, "latent_dim": 3, "hidden": (5,), "n_units": 4},
    "MemAE": {"epochs": 2, "batch_size": 10, "latent_dim": 3, "hidden": (5,), "n_slots": 4},
    "NearestNeighbours": {"n": 3},
    "OCSVM": {},
    "OCGAN": {"epochs": 3, "batch_size": 10, "latent_dim": 3, "width": 2, "critic_width": 2, "mine_after": 1},
    "PrincipalComponents": {"n": 3},
    "TargetedCollapse": {"steps": 20, "batch_size": 10, "latent_dim": 3, "hidden": (5,)},
    "RCGAN": {"epochs": 2, "batch_size": 10, "latent_dim": 3},
    "VAE": {"epochs": 3, "batch_size": 10, "latent_dim": 3, "hidden": (5,)},
}


def images(n: int = 30, side: int = 28, seed: int = 0) -> NDArray[np.uint8]:
    """Draw grey images of a bright square on noise, (n, 1, side, side)."""
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, 60, (n, 1, side, side))
    for image, (top, left) in zip(drawn[:, 0], generator.integers(4, 12, (n, 2)), strict=True):
        image[top : top + 9, left : left + 9] += 180
    return drawn.astype(np.uint8)


def samples(name: str, n: int = 20, seed: int = 0) -> NDArray[Any]:
    """Draw samples that a method takes: rows of a table where it can."""
    return rows(n, seed=seed) if _takes_tables(name) else images(n, seed=seed)


@functools.cache
def _takes_tables(name: str) -> bool:
    try:
        method(name).fit(rows())
    except ValueError:
        return False
    return True


def rows(n: int = 30, d: int = 6, seed: int = 0) -> NDArray[np.float64]:
    """Draw rows of a table with correlated columns."""
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n, d)) @ generator.normal(size=(d, d)) + 3


def method(name: str, **changes: Any) -> Comparator:
    """Return a small method, not fitted."""
    kind = tollad.methods.find(name)
    fields = {field.name for field in dataclasses.fields(kind)}
    few = {field: value for field, value in _FEW.items() if field in fields}
    return kind(**{**few, **SMALL.get(name, {}), **changes})
