"""What a detector's parameters mean: their checks, and the values that "auto" stands for."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from types import FunctionType
from typing import Any, Literal

import numpy as np
from torch import nn

from tollad.method import networks, terms
from tollad.method.objective import Target
from tollad.training.loop import Precision

TARGETS: dict[str, Target] = {"origin": "origin", "mean": "batch_mean"}
PREPROCESS = ("auto", "standard", None)
CORRUPTIONS = ("auto", "mixed", None)
_MOST_MEMBERS = 100_000
_WITH_AUTO = ("beta", "learning_rate")
PRECISIONS = ("float32", "float64", "bf16")


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
        Of the learning rate: falling when rows are corrupted, else the paper's.
    error : str
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


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise for the first parameter of a detector that is not what it may be.

    Parameters
    ----------
    parameters : mapping of str
        As ``TollDetector().get_params()`` returns.

    Raises
    ------
    TypeError, ValueError
        One sentence that names the parameter, what it may be, and what was given.
    """
    p = parameters
    check_real(p, "beta", "a finite number >= 0", lambda v: v >= 0)
    check_real(p, "learning_rate", "a finite number > 0", lambda v: v > 0)
    check_real(p, "contamination", "a share of the rows, 0 < contamination <= 0.5", lambda v: 0 < v <= 0.5)
    if p["false_alarm_rate"] is not None:
        check_real(p, "false_alarm_rate", "a share of the normal rows, 0 < false_alarm_rate < 1", lambda v: 0 < v < 1)
    if p["columns"] is not None and not isinstance(p["columns"], Mapping):
        raise TypeError(f"columns must be a mapping of column names to kinds or None, not {p['columns']!r}")
    _check_choice(p, "norm", tuple(terms.latent_penalties()))
    _check_choice(p, "error", terms.reconstruction_errors())
    _check_choice(p, "target", tuple(TARGETS))
    _check_choice(p, "preprocess", PREPROCESS)
    _check_choice(p, "corruption", CORRUPTIONS)
    _check_choice(p, "precision", PRECISIONS)
    for name, least in (("latent_dim", 1), ("batch_size", 2), ("steps", 1), ("n_members", 1)):
        if not (isinstance(p[name], str) and p[name] == "auto"):
            _check_integer(name, p[name], least, " or 'auto'")
    if p["n_members"] != "auto" and p["n_members"] > _MOST_MEMBERS:
        raise ValueError(f"n_members must be at most {_MOST_MEMBERS}, not {p['n_members']!r}; no memory holds more")
    check_network(p["network"])
    check_hidden(p["hidden"])
    if not isinstance(p["early_stopping"], (bool, np.bool_)):
        raise TypeError(f"early_stopping must be True or False, not {p['early_stopping']!r}")
    if not isinstance(p["verbose"], Integral):
        raise TypeError(f"verbose must be an integer, not {p['verbose']!r}")


def check_settings(settings: Settings) -> None:
    """Raise ValueError or TypeError for settings that no fit has: those of a file may be any values."""
    values = vars(settings)
    if settings.network not in (*networks.__all__, "custom"):
        raise ValueError(f"unknown network {settings.network!r}")
    _check_choice(values, "norm", tuple(terms.latent_penalties()))
    _check_choice(values, "error", terms.reconstruction_errors())
    _check_choice(values, "target", tuple(TARGETS))
    _check_choice(values, "precision", PRECISIONS)
    _check_choice(values, "corruption", ("mixed", None))
    _check_choice(values, "schedule", ("constant", "cosine"))
    for name, least in (("latent_dim", 0), ("batch_size", 1), ("steps", 1), ("n_members", 1)):
        _check_integer(name, values[name], least)
    for name in ("beta", "learning_rate"):
        if isinstance(values[name], str):
            raise TypeError(f"{name} must be a number, not {values[name]!r}")
        check_real(values, name, "a finite number >= 0", lambda value: value >= 0)
    if settings.hidden is not None:
        check_hidden(settings.hidden)


def resolve(parameters: Mapping[str, Any], shape: Sequence[int], n_rows: int) -> Settings:
    """Replace every "auto" by a value for training rows of one shape.

    Parameters
    ----------
    parameters : mapping of str
        Checked by `check_parameters`.
    shape : sequence of int
        Of a row as a network that keeps its shape takes it: (d,), (C, T) or (C, H, W).
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
    auto = _DENOISING | {"steps": _denoising_steps(math.prod(shape))} if corruption else _PAPER

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
    )


# What "auto" stands for with the paper's loss, and with denoising collapse.
_PAPER: dict[str, Any] = {"beta": 1.0, "learning_rate": 1e-3, "batch_size": 128, "steps": 1000, "n_members": 1}
_DENOISING: dict[str, Any] = {"beta": 1.0, "learning_rate": 2e-3, "batch_size": 128, "n_members": 4}


def _denoising_steps(n_columns: int) -> int:
    """280 steps up to 31 columns, then more, up to 600: wide tables would be underfitted, narrow ones gain nothing."""
    return min(max(round(50 * math.sqrt(n_columns)), 280), 600)


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


def check_real(
    p: Mapping[str, Any], name: str, wanted: str = "a finite number", fits: Callable[[Any], bool] = lambda value: True
) -> None:
    """Raise for a value of `p` that is no finite number, or does not fit; `wanted` says what it may be."""
    value = p[name]
    if name in _WITH_AUTO and isinstance(value, str) and value == "auto":
        return
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {wanted}, not {value!r}")
    if not math.isfinite(value) or not fits(value):
        raise ValueError(f"{name} must be {wanted}, not {value!r}")


def _check_integer(name: str, value: Any, least: int, otherwise: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer >= {least}{otherwise}, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be an integer >= {least}{otherwise}, not {value!r}")


def _check_choice(p: Mapping[str, Any], name: str, known: Sequence[Any]) -> None:
    if not any(p[name] is choice or (isinstance(p[name], str) and p[name] == choice) for choice in known):
        raise ValueError(f"unknown {name} {p[name]!r}; the known ones are {', '.join(repr(k) for k in known)}")


def check_network(network: Any) -> None:
    """Raise for what is no name of a network, no builder and no modules."""
    if isinstance(network, str):
        if network != "auto" and network not in networks.__all__:
            raise ValueError(f"unknown network {network!r}; the known ones are auto, {', '.join(networks.__all__)}")
    elif not (networks.is_modules(network) or callable(network)):
        raise TypeError(
            "network must be a name, a builder (input_shape, latent_dim) -> module, a torch module that returns "
            "(x_hat, z), or a pair (encoder, decoder) of torch modules"
        )


def check_hidden(hidden: Any) -> None:
    """Raise for what is neither a sequence of widths nor "auto"."""
    if isinstance(hidden, str):
        if hidden != "auto":
            raise ValueError(f"hidden must be a sequence of widths or 'auto', not {hidden!r}")
        return
    if not isinstance(hidden, Sequence):
        raise TypeError(f"hidden must be a sequence of widths or 'auto', not {hidden!r}")
    for width in hidden:
        _check_integer("each width of hidden", width, 1)


def as_json(value: Any) -> Any:
    """Return a parameter of a detector as JSON can hold it; what it cannot hold becomes text."""
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
    if isinstance(value, FunctionType):  # a builder of a network, whose text would name a place in memory
        return f"{value.__module__}.{value.__qualname__}"
    return float(value) if isinstance(value, Real) else str(value)
