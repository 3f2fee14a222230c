"""ARNet: a U-Net that restores images whose colour and direction were erased."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tollad.methods.layers import build
from tollad.methods.neural import Neural, Phase

_TURNS = 4
_HALVINGS = 4
_DROPS = 10  # number of times that the learning rate is halved in a training


def erase(x: Tensor, turns: int) -> Tensor:
    """Return the mean of the channels, turned by `turns` quarters: (B, C, s, s) -> (B, 1, s, s)."""
    return torch.rot90(x.mean(1, keepdim=True), turns, (2, 3))


def _double(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n in (before, after):
        layers += [nn.Conv2d(n, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


class _UNet(nn.Module):
    """(B, 1, h, w) -> (B, channels, h, w); h and w of 16 or more."""

    step: Tensor
    typical: Tensor

    def __init__(self, channels: int, width: int, tanh: bool) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        self.first = _double(1, width)
        self.down = nn.ModuleList(_double(before, after) for before, after in pairwise(widths))
        outs = [4 * width, 2 * width, width, width]
        self.up = nn.ModuleList(_double(2 * skip, after) for skip, after in zip(widths[-2::-1], outs, strict=True))
        self.last = nn.Conv2d(width, channels, 3, padding=1, bias=False)
        self.bound: nn.Module = nn.Tanh() if tanh else nn.Identity()
        self.register_buffer("step", torch.zeros(()))
        self.register_buffer("typical", torch.zeros(_TURNS, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        skips = [self.first(x)]
        for down in self.down:
            skips.append(down(nn.functional.max_pool2d(skips[-1], 2)))
        x = skips.pop()
        for up in self.up:
            skip = skips.pop()
            x = nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            missing = [a - b for a, b in zip(skip.shape[2:], x.shape[2:], strict=True)]
            x = nn.functional.pad(
                x, (missing[1] // 2, missing[1] - missing[1] // 2, missing[0] // 2, missing[0] - missing[0] // 2)
            )
            x = up(torch.cat([skip, x], 1))
        return self.bound(self.last(x))


@dataclass(kw_only=True, eq=False)
class ARNet(Neural):
    """Ye et al., "Attribute restoration framework for anomaly detection", 2020. No authors' code is public.

    A U-Net f is given the grey image turned by 0, 90, 180 or 270 degrees, O_k x, and minimises
    ``mean (f(O_k x) - x)^2``. The score is the mean over k of ``||f(O_k x) - x||_1``, each divided by its mean over the
    training images.

    NOTE[DIFF] The network and the constants are those of a port, with its author's corrections (pixels from 0 to 1,
    tensors turned and not pictures). The last layer ends in the port's tanh, which the paper's drawing lacks: without
    it steps of 0.1 overshoot at first, the more the wider the network is, and at a width of 16 its output stayed 0 from
    then on. It is unknown whether the published values are those of the last epoch; here labels choose nothing.

    Parameters
    ----------
    width : int
        Channels of the first layers.
    tanh : bool
        Whether the last layer ends in tanh.
    flip : bool
        Whether to flip half of the images from left to right.
    epochs, batch_size : int
    learning_rate : float
        Of gradient descent without momentum, halved every tenth of the training.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).integers(0, 256, (8, 1, 28, 28))
    >>> ARNet(width=2, epochs=1, batch_size=8).fit(X).anomaly_score(X).shape
    (8,)
    """

    scale: str = "unit"
    width: int = 64
    tanh: bool = True
    flip: bool = False
    epochs: int = 125
    batch_size: int = 32
    learning_rate: float = 0.1

    title: ClassVar[str] = "ARNet"

    @classmethod
    def of_parts(cls, described: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        # Files from before this parameter hold networks that end without a tanh.
        return super().of_parts({**described, "parameters": {"tanh": False, **described["parameters"]}}, arrays)

    def _build(self, shape: tuple[int, ...]) -> nn.Module:
        least = 2**_HALVINGS
        if len(shape) != 3 or shape[1] != shape[2] or shape[1] < least:
            raise ValueError(
                f"{self.title} takes square images of {least} x {least} or more, not rows of shape {shape}"
            )
        return build(lambda: _UNet(shape[0], self.width, self.tanh), self.seed)

    @property
    def _parts(self) -> _UNet:
        return cast(_UNet, self._net)

    def _phases(self, rows: Tensor) -> Sequence[Phase]:
        net = self._parts
        weights = list(net.parameters())

        def update(x: Tensor) -> Tensor:
            if self.flip:
                flipped = torch.rand(len(x), generator=self._generator) < 0.5
                x = torch.where(flipped[:, None, None, None], x.flip(3), x)
            turns = torch.randint(_TURNS, (len(x),), generator=self._generator)
            erased = torch.cat([erase(image[None], int(k)) for image, k in zip(x, turns, strict=True)])
            loss = (net(erased) - x).square().mean()
            rate = self.learning_rate * 0.5 ** int(_DROPS * net.step.item() / n_steps)
            with torch.no_grad():
                for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                    weight.sub_(gradient, alpha=rate)
                net.step += 1
            return loss

        phase = Phase("the restoration", self.epochs, self.batch_size, update)
        n_steps = self.epochs * phase.steps_of_an_epoch(len(rows))
        return [phase]

    def _errors(self, x: Tensor) -> Tensor:
        """Return the mean absolute error over pixels for each turn: (B, 4), in float64."""
        errors = [(self._parts(erase(x, k)) - x).abs().double().mean((1, 2, 3)) for k in range(_TURNS)]
        return torch.stack(errors, 1)

    def _finish(self, rows: Tensor) -> None:
        errors = torch.cat([self._errors(block) for block in rows.split(self._block)])
        self._parts.typical.copy_(errors.mean(0))

    def _anomaly(self, x: Tensor) -> Tensor:
        return (self._errors(x) / self._parts.typical).mean(1)

    def _diagnose(self, rows: NDArray[np.float64]) -> dict[str, float]:
        """Return the mean absolute error of the training images over all turns."""
        return {"mean_error": float(self._parts.typical.mean())}
