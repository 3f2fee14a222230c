"""The terms of the objective: plain functions from tensors to one value a sample.

A reconstruction error takes ``(x, x_hat)``; a latent penalty, whose name begins with ``latent_``, takes ``z``. Those
two shapes are all that `tollad.method.objective.Objective` needs to know, so a new term is one function in this module;
`homogeneous` declares a norm.

Each term also works alone in any torch model. Here the collapse term joins a classifier's loss:

>>> import torch
>>> from tollad.method.terms import latent_l2
>>> z, cross_entropy = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True), torch.tensor(0.5)
>>> loss = cross_entropy + 0.1 * latent_l2(z).mean()
>>> float(loss.detach())
0.75

Gradients are finite everywhere. At exactly 0, where a norm has no derivative, they are 0 (a subgradient); no other
value or gradient is changed, so there is no epsilon to tune.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

__all__ = ["l1", "l2", "latent_l1", "latent_l2", "latent_linf", "latent_squared_l2", "squared_l2"]

_Term = TypeVar("_Term", bound=Callable[..., Tensor])


def homogeneous(degree: int) -> Callable[[_Term], _Term]:
    """Declare a term as a norm (degree 1) or the power of one. The tests of norms then run over it, see `degree_of`."""

    def declare(term: _Term) -> _Term:
        vars(term)["degree"] = degree
        return term

    return declare


def degree_of(name: str) -> int | None:
    """Return the degree that a term declares; None for one that is no power of a norm."""
    degree: int | None = getattr(globals()[name], "degree", None)
    return degree


def latent_penalties() -> dict[str, str]:
    """Return the latent penalties by the names that `tollad.TollDetector` takes as `norm`: "l2" is "latent_l2"."""
    return {name.removeprefix("latent_"): name for name in __all__ if name.startswith("latent_")}


def reconstruction_errors() -> list[str]:
    """Return the names of the reconstruction errors."""
    return [name for name in __all__ if not name.startswith("latent_")]


@homogeneous(1)
def l2(x: Tensor, x_hat: Tensor, *, batch_dims: int = 1) -> Tensor:
    """Euclidean reconstruction error ``||x_hat - x||_2``, equation (1).

    Parameters
    ----------
    x, x_hat : Tensor, (batch..., *shape)
        Rows and their reconstructions, of one shape.
    batch_dims : int, default 1
        How many leading axes count samples: 1 for a batch, 2 for a stack of batches.

    Returns
    -------
    Tensor, (batch...)
        One non-negative value a sample, in the units of `x`: neither squared nor divided by the number of values.

    Examples
    --------
    >>> l2(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    tensor([5.])
    """
    return torch.linalg.vector_norm(x_hat - x, 2, dim=_value_axes(x, batch_dims))


@homogeneous(2)
def squared_l2(x: Tensor, x_hat: Tensor, *, batch_dims: int = 1) -> Tensor:
    """Squared Euclidean reconstruction error ``||x_hat - x||_2^2``, as in the analysis of section 3.3.

    Parameters and returned shape as in `l2`; in squared units of `x`.

    Examples
    --------
    >>> squared_l2(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    tensor([25.])
    """
    return (x_hat - x).square().sum(_value_axes(x, batch_dims))


@homogeneous(1)
def l1(x: Tensor, x_hat: Tensor, *, batch_dims: int = 1) -> Tensor:
    """Absolute reconstruction error ``||x_hat - x||_1``.

    Parameters and returned shape as in `l2`; in units of `x`.

    Examples
    --------
    >>> l1(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    tensor([7.])
    """
    return torch.linalg.vector_norm(x_hat - x, 1, dim=_value_axes(x, batch_dims))


@homogeneous(1)
def latent_l2(z: Tensor) -> Tensor:
    """Euclidean norm of the latent ``||z||_2``, equation (2): the collapse term of the paper.

    Parameters
    ----------
    z : Tensor, (batch..., latent_dim)
        Latents, already relative to the target of the collapse: pass ``z - center`` to collapse onto `center`.

    Returns
    -------
    Tensor, (batch...)
        One non-negative value a sample.

    Examples
    --------
    >>> latent_l2(torch.tensor([[3.0, -4.0]]))
    tensor([5.])
    """
    return torch.linalg.vector_norm(z, 2, dim=-1)


@homogeneous(1)
def latent_l1(z: Tensor) -> Tensor:
    """Sum of absolute latents ``||z||_1`` (Table 8); `z` and the returned shape as in `latent_l2`.

    Examples
    --------
    >>> latent_l1(torch.tensor([[3.0, -4.0]]))
    tensor([7.])
    """
    return torch.linalg.vector_norm(z, 1, dim=-1)


@homogeneous(1)
def latent_linf(z: Tensor) -> Tensor:
    """Largest absolute latent, the L-infinity norm of `z` (Table 8); the returned shape is that of `latent_l2`.

    Examples
    --------
    >>> latent_linf(torch.tensor([[3.0, -4.0]]))
    tensor([4.])
    """
    return torch.linalg.vector_norm(z, torch.inf, dim=-1)


@homogeneous(2)
def latent_squared_l2(z: Tensor) -> Tensor:
    """Squared Euclidean norm of the latent, as in equations (5) and (9); `z` and the returned shape as in `latent_l2`.

    Examples
    --------
    >>> latent_squared_l2(torch.tensor([[3.0, -4.0]]))
    tensor([25.])
    """
    return z.square().sum(-1)


def shell(norm: Tensor, radius: Tensor) -> Tensor:
    """Distance ``| ||z|| - radius |`` of a latent from a sphere about the target, for denoising collapse.

    NOTE[DIFF] Not in the paper, whose targets are points: there, and whenever a row is scored, the radius is 0 and this
    is the norm itself.

    Parameters
    ----------
    norm : Tensor, (batch...)
        Values of a latent penalty.
    radius : Tensor, (batch...)
        Distance at which each latent should lie, at least 0.
    """
    return (norm - radius).abs()


def _value_axes(x: Tensor, batch_dims: int) -> tuple[int, ...]:
    return tuple(range(batch_dims, x.ndim))
