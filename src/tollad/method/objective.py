"""The objective: a weighted sum of terms that is the anomaly score of a sample and, averaged, the loss."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from tollad.method import terms

Target: TypeAlias = Literal["origin", "batch_mean"]
Weight: TypeAlias = float | Iterable[float]


class Objective:
    """Weights over terms; one expression for the loss and for the anomaly score (equations 2 and 3).

    Parameters
    ----------
    weights : mapping of str to float or sequence of M floats
        For each term, named as in `tollad.method.terms`, its weight (finite, >= 0), or one weight for each of the M
        members of a stack: ``Objective({"l2": 1, "latent_l2": [0, 1, 10]})`` trains three values of beta at once. A
        term whose weights are all 0 is not computed, so ``beta = 0`` is the plain autoencoder to the bit.
    target : {"origin", "batch_mean"} or Tensor of shape (latent_dim,), default "origin"
        The point onto which the latents collapse. ``"batch_mean"`` (section 4.1) is the mean of each member's batch,
        taken as a constant: gradients do not flow through it. When scoring, this would make a score depend on its
        batch; so scoring passes `center`, the mean latent of the training rows, instead.

    Raises
    ------
    TypeError, ValueError
        For an unknown term (the error lists the known ones), a weight that is no number, negative or not finite, an
        unknown target, or weights of different lengths.

    Examples
    --------
    >>> import torch
    >>> x, x_hat, z = torch.zeros(1, 4), torch.ones(1, 4), torch.tensor([[3.0, 4.0]])
    >>> Objective({"l2": 1, "latent_l2": 10})(x, x_hat, z)
    tensor([52.])
    """

    def __init__(self, weights: Mapping[str, Weight], target: Target | Tensor = "origin") -> None:
        unknown = sorted(set(weights) - set(terms.__all__))
        if unknown:
            raise ValueError(f"unknown term {unknown[0]!r}; the known ones are {', '.join(sorted(terms.__all__))}")
        if isinstance(target, str) and target not in ("origin", "batch_mean"):
            raise ValueError(f"target must be 'origin', 'batch_mean' or a tensor, not {target!r}")
        per_term = {name: _as_weights(name, weight) for name, weight in weights.items()}
        lengths = {len(values) for values in per_term.values() if len(values) > 1}
        if len(lengths) > 1:
            raise ValueError(f"the weights name different numbers of members: {sorted(lengths)}")
        self.weights = {name: values for name, values in per_term.items() if any(values)}
        self.target = target
        self._factors: dict[tuple[str, torch.device, torch.dtype], Tensor] = {}

    def __repr__(self) -> str:
        return f"Objective({self.weights}, target={self.target!r})"

    def __call__(
        self, x: Tensor, x_hat: Tensor, z: Tensor, *, center: Tensor | None = None, radius: Tensor | None = None
    ) -> Tensor:
        """Return one value a sample; with a model in evaluation mode this is the anomaly score.

        Parameters
        ----------
        x, x_hat : Tensor, (B, *shape) or, for a stack, (M, B, *shape)
        z : Tensor, (B, latent_dim) or (M, B, latent_dim)
        center : Tensor, (latent_dim,) or (M, latent_dim), optional
            Replaces the target.
        radius : Tensor, (B,) or (M, B), optional
            Distance from the target at which each latent should lie, see `tollad.method.terms.shell`; 0 when not given.

        Returns
        -------
        Tensor, (B,) or (M, B)
        """
        # Outputs of mixed precision are in half precision, in which a norm over thousands of values loses digits.
        x_hat, z = x_hat.to(x.dtype), z.to(x.dtype)
        total: Tensor | None = None
        for name, values in self.weights.items():
            if name.startswith("latent_"):
                value = getattr(terms, name)(self._relative(z, center))
                value = value if radius is None else terms.shell(value, radius)
            else:
                value = getattr(terms, name)(x, x_hat, batch_dims=z.ndim - 1)
            if values != (1.0,):
                value = value * self._factor(name, values, z)
            total = value if total is None else total + value
        return z.new_zeros(z.shape[:-1]) if total is None else total

    def loss(
        self, x: Tensor, x_hat: Tensor, z: Tensor, *, center: Tensor | None = None, radius: Tensor | None = None
    ) -> Tensor:
        """Return the mean of the score over the batch: a scalar, or (M,) for a stack. Arguments as in a call."""
        return self(x, x_hat, z, center=center, radius=radius).mean(-1)

    def _relative(self, z: Tensor, center: Tensor | None) -> Tensor:
        if center is None:
            if isinstance(self.target, str):
                return z if self.target == "origin" else z - z.detach().mean(-2, keepdim=True)
            center = self.target
        center = center.to(z)
        return z - (center.unsqueeze(-2) if center.ndim > 1 else center)

    def _factor(self, name: str, values: tuple[float, ...], z: Tensor) -> float | Tensor:
        if len(values) == 1:
            return values[0]
        if z.ndim != 3 or z.shape[0] != len(values):
            raise ValueError(
                f"the objective has weights for {len(values)} members, the latents have shape {tuple(z.shape)}"
            )
        key = name, z.device, z.dtype
        if key not in self._factors:  # copying it at every step would make a GPU wait
            self._factors[key] = torch.tensor(values, dtype=z.dtype, device=z.device).unsqueeze(-1)
        return self._factors[key]


def _as_weights(name: str, weight: Any) -> tuple[float, ...]:
    try:
        if isinstance(weight, str):
            raise TypeError
        values = tuple(float(w) for w in weight) if hasattr(weight, "__iter__") else (float(weight),)
    except (TypeError, ValueError) as error:
        raise TypeError(f"the weight of {name!r} must be a number or one for each member, not {weight!r}") from error
    if not values or any(not math.isfinite(w) or w < 0 for w in values):
        raise ValueError(f"the weight of {name!r} must be finite and not negative, not {weight!r}")
    return values
