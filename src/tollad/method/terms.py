"""The terms of the objective: plain functions from tensors to one value a sample.

A reconstruction error takes ``(x, x_hat)``; a latent penalty, whose name begins with ``latent_``, takes ``z``. Those
two shapes are all that `tollad.method.objective.Objective` needs to know, so a new term is one function in this module.

Each term also works alone, in a torch model that is not ours. Here the collapse term joins a classifier's loss:

>>> import torch
>>> from tollad.method.terms import latent_l2
>>> z, cross_entropy = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True), torch.tensor(0.5)
>>> loss = cross_entropy + 0.1 * latent_l2(z).mean()
>>> float(loss.detach())
0.75

Gradients are finite everywhere. At exactly 0, where a norm has no derivative, they are 0 (a subgradient); no other
value or gradient is changed, so there is no epsilon to tune and none to explain.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["l1", "l2", "latent_l1", "latent_l2", "latent_linf", "latent_squared_l2", "squared_l2"]


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
    """
    return torch.linalg.vector_norm(x_hat - x, 2, dim=_value_axes(x, batch_dims))


def squared_l2(x: Tensor, x_hat: Tensor, *, batch_dims: int = 1) -> Tensor:
    """Squared Euclidean reconstruction error, as in the analysis of section 3.3; shapes as in `l2`."""
    return (x_hat - x).square().sum(_value_axes(x, batch_dims))


def l1(x: Tensor, x_hat: Tensor, *, batch_dims: int = 1) -> Tensor:
    """Absolute reconstruction error ``||x_hat - x||_1``; shapes as in `l2`."""
    return torch.linalg.vector_norm(x_hat - x, 1, dim=_value_axes(x, batch_dims))


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
    """
    return torch.linalg.vector_norm(z, 2, dim=-1)


def latent_l1(z: Tensor) -> Tensor:
    """Sum of absolute latents ``||z||_1`` (Table 8); shapes as in `latent_l2`."""
    return torch.linalg.vector_norm(z, 1, dim=-1)


def latent_linf(z: Tensor) -> Tensor:
    """Largest absolute latent, the L-infinity norm of `z` (Table 8); shapes as in `latent_l2`."""
    return torch.linalg.vector_norm(z, torch.inf, dim=-1)


def latent_squared_l2(z: Tensor) -> Tensor:
    """Squared Euclidean norm of the latent, as in equations (5) and (9); shapes as in `latent_l2`."""
    return z.square().sum(-1)


def shell(norm: Tensor, radius: Tensor) -> Tensor:
    """Distance ``| ||z|| - radius |`` of a latent from a sphere about the target, for denoising collapse.

    NOTE[DIFF] Not in the paper, whose targets are points: there, and whenever a row is scored, the radius is 0 and this
    is the norm itself.

    Parameters
    ----------
    norm : Tensor, (batch...)
        What a latent penalty returned.
    radius : Tensor, (batch...)
        Where each latent should lie; non-negative.
    """
    return (norm - radius).abs()


def _value_axes(x: Tensor, batch_dims: int) -> tuple[int, ...]:
    return tuple(range(batch_dims, x.ndim))
