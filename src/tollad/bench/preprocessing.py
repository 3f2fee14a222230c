"""How rows become the input of a network in the paper's experiments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tollad.methods.scaling import contrast

_IMAGE_VALUES = 255.0


@dataclass(frozen=True)
class Preprocessing:
    """How rows become the input of a network; constants were fitted on training rows, or are the paper's.

    `tollad.methods.scaling.Scaling` is what another method does to its rows by itself: it is fitted there, is part of
    its recipe, and its arrays are part of its state. Here a protocol decides, the constants are plain numbers of which
    some are printed in the paper, and `tollad.bench.device_rows.Prepare` computes the same on a device, in single
    precision. `contrast` is one function for both. What a detector learns of a table, with missing values, flags, views
    and units, is `tollad.tables.features.Features`.

    Attributes
    ----------
    kind : {"none", "standardise", "scale", "contrast"}
        - "none": as they are.
        - "standardise": (x - mean) / standard deviation of each column; constants are these two, a tuple each.
        - "scale": (x / 255 - mean) / standard deviation; constants are these two numbers.
        - "contrast": u = x / 255 less its mean over all values of the image, divided by the mean absolute value of what
          is left; then (u - low) / (high - low), not clipped. Constants are low and high.
    constants : tuple

    Examples
    --------
    >>> import numpy as np
    >>> Preprocessing("standardise", ((1.0, 5.0), (2.0, 1.0)))(np.array([[3.0, 5.0]]))
    array([[1., 0.]])
    """

    kind: Literal["none", "standardise", "scale", "contrast"]
    constants: tuple[float, ...] | tuple[tuple[float, ...], ...] = ()

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        """Return rows of uint8 (n, C, H, W) as float32, and rows of float64 (n, d) as float64, of the same shape."""
        if self.kind == "none":
            return np.asarray(x, float)
        first, second = (np.asarray(constant) for constant in self.constants)
        match self.kind:
            case "standardise":
                return (x - first) / second
            case "scale":
                return ((x / _IMAGE_VALUES - first) / second).astype(np.float32)
            case "contrast":
                return ((contrast(x) - first) / (second - first)).astype(np.float32)


def standardising(rows: NDArray[np.float64]) -> Preprocessing:
    """Columns that are constant stay so."""
    deviation = rows.std(0)
    deviation[deviation == 0] = 1
    return Preprocessing("standardise", (tuple(rows.mean(0).tolist()), tuple(deviation.tolist())))
