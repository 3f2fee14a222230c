"""Settings: the parameters of one fit, with "auto" replaced by values."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from types import FunctionType
from typing import Any, Literal

import numpy as np
from torch import nn

from tollad.detector import checks
from tollad.method import networks
from tollad.method.objective import Target
from tollad.training.loop import Precision

TARGETS: dict[str, Target] = {"origin": "origin", "mean": "batch_mean"}


@dataclass(frozen=True)
class Settings:
    """The parameters of one fit, "auto" replaced by what it stands for.

    Attributes
    ----------
    network : str
        Name of a builder in `tollad.method.networks`, or ``"custom"`` for modules of the user.
    norm, target : str
    precision : {"float32", "float64", "bf16"}
    beta, learning_rate : float
    latent_dim : int
        0 for a custom network, whose encoder decides.
    hidden : tuple of int or None
        None for networks without free widths.
    batch_size, steps, n_members : int
    corruption : {"mixed"} or None
    schedule : {"constant", "cosine"}
        Of the learning rate: "cosine" if rows are corrupted, else "constant" as in the paper.
    error : str
    neighbors : int
    neighbor_weight : float
    n_channels : int or None

    Examples
    --------
    >>> import numpy as np
    >>> from tollad import TollDetector
    >>> settings = TollDetector(steps=5, random_state=0).fit(np.random.default_rng(0).normal(size=(50, 3))).settings_
    >>> settings.network, settings.latent_dim, settings.steps
    ('mlp_layernorm', 128, 5)
    """

    network: str
    norm: str
    target: str
    precision: Precision
    beta: float
    latent_dim: int
    hidden: tuple[int, ...] | None
    learning_rate: float
    batch_size: int
    steps: int
    n_members: int
    corruption: str | None
    schedule: Literal["constant", "cosine"]
    error: str = "l2"
    # Older model files lack these.
    neighbors: int = 0
    neighbor_weight: float = 1.0
    n_channels: int | None = None


def check_settings(settings: Settings) -> None:
    """Raise ValueError or TypeError for values that no fit gives; those in a file may be anything."""
    values = vars(settings)
    for name, check in _CHECKS.items():
        check(name, values[name])


_CHECKS: dict[str, checks.Check] = {
    "network": checks.choice(lambda: (*networks.__all__, "custom")),
    "norm": checks.choice(checks.latent_penalties),
    "error": checks.choice(checks.reconstruction_errors),
    "target": checks.choice(tuple(TARGETS)),
    "precision": checks.choice(("float32", "float64", "bf16")),
    "corruption": checks.choice(("mixed", None)),
    "schedule": checks.choice(("constant", "cosine")),
    "latent_dim": checks.integer(0),
    "batch_size": checks.integer(1),
    "steps": checks.integer(1),
    "n_members": checks.integer(1),
    "beta": checks.number(least=0),
    "learning_rate": checks.number(least=0),
    "hidden": checks.optional(checks.hidden),
    "neighbors": checks.integer(0),
    "neighbor_weight": checks.number(least=0),
    "n_channels": checks.optional(checks.integer(1)),
}


def resolve(parameters: Mapping[str, Any], shape: Sequence[int], n_rows: int) -> Settings:
    """Replace every "auto" by a value for training rows of one shape.

    Parameters
    ----------
    parameters : mapping of str
        Checked by `tollad.detector.parameters.check_parameters`.
    shape : sequence of int
        Of a row with its channels: (d,), (C, T) or (C, H, W).
    n_rows : int

    Raises
    ------
    ValueError
        When `hidden` is given for a network without free widths.
    """
    p = parameters
    chosen = p["network"]
    if isinstance(chosen, str) and chosen == "auto":
        chosen = networks.automatic(shape, p["corruption"])
    network = chosen if isinstance(chosen, str) else "custom"
    traits = networks.traits_of(chosen)
    corruption = p["corruption"]
    if corruption == "auto":
        corruption = traits.corruption if len(shape) == 1 else None
    auto = (
        _DENOISING | {"steps": _denoising_steps(n_rows), "neighbors": _neighbors(n_rows, math.prod(shape))}
        if corruption
        else _PAPER
    )

    def choose(name: str) -> Any:
        return auto[name] if isinstance(p[name], str) and p[name] == "auto" else p[name]

    latent_dim = p["latent_dim"]
    if latent_dim == "auto":
        latent_dim = 0 if networks.is_modules(chosen) else traits.latent_dim(math.prod(shape))
    return Settings(
        network=network,
        norm=p["norm"],
        error=p["error"],
        target=p["target"],
        precision=p["precision"],
        beta=float(choose("beta")),
        latent_dim=int(latent_dim),
        hidden=_resolve_hidden(chosen, p["hidden"]),
        learning_rate=float(choose("learning_rate")),
        batch_size=min(int(choose("batch_size")), n_rows),
        steps=int(choose("steps")),
        n_members=int(choose("n_members")),
        corruption=corruption,
        schedule="cosine" if corruption else "constant",
        neighbors=int(choose("neighbors")),
        neighbor_weight=float(p["neighbor_weight"]),
        n_channels=None if p["n_channels"] is None else int(p["n_channels"]),
    )


# What "auto" stands for with the paper's loss, and with denoising collapse.
_PAPER: dict[str, Any] = {
    "beta": 1.0,
    "learning_rate": 1e-3,
    "batch_size": 128,
    "steps": 1000,
    "n_members": 1,
    "neighbors": 0,
}
_DENOISING: dict[str, Any] = {"beta": 1.0, "learning_rate": 2e-3, "batch_size": 128, "n_members": 2}
# Columns in which rows lie so close that 2,000 of very many leave gaps between those that are kept.
_FEW_COLUMNS = 5


def _denoising_steps(n_rows: int) -> int:
    """400 steps up to 10,000 rows; above, in proportion to the square root of their number, up to 2,000."""
    return min(max(round(4 * math.sqrt(n_rows)), 400), 2000)


def _neighbors(n_rows: int, n_columns: int) -> int:
    """2,000 rows, or fewer if more than 16 MB; of few columns a twentieth of the rows, up to 10,000."""
    if n_columns <= _FEW_COLUMNS:
        return min(max(n_rows // 20, 2000), 10_000)
    return min(2000, max(2**21 // n_columns, 1))


def _resolve_hidden(network: Any, hidden: Any) -> tuple[int, ...] | None:
    default = None
    if not networks.is_modules(network):
        default = inspect.signature(networks.find_builder(network)).parameters.get("hidden")
    if isinstance(hidden, str):
        return tuple(default.default) if default else None
    if default is None:
        name = network if isinstance(network, str) else "custom"
        raise ValueError(f"hidden is given, but network {name!r} has no free widths; leave hidden='auto'")
    return tuple(int(width) for width in hidden)


def as_json(value: Any) -> Any:
    """Return a parameter of a detector as a JSON value; values that JSON lacks become text."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)) and not any(isinstance(part, nn.Module) for part in value):
        return [as_json(part) for part in value]
    if isinstance(value, Mapping):
        return {str(name): as_json(part) for name, part in value.items()}
    if isinstance(value, (str, bool, type(None))):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, FunctionType):  # a builder of a network; its str() would hold an address in memory
        return f"{value.__module__}.{value.__qualname__}"
    return float(value) if isinstance(value, Real) else str(value)
