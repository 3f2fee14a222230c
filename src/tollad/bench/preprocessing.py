"""The preprocessing of rows in the paper's experiments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tollad.methods.scaling import contrast

_IMAGE_VALUES = 255.0


@dataclass(frozen=True)
class Preprocessing:
    """Turns rows into network inputs. The constants were fitted on training rows, or are the paper's.

    There are two similar classes. `tollad.methods.scaling.Scaling` belongs to another method: it is part of the
    method's recipe, is fitted there, and its arrays are part of the method's state. `tollad.tables.features.Features`
    is learnt by a detector from a table, with missing values, flags and views. Here, the protocol decides, and the
    constants are plain numbers, some of them printed in the paper.
    `tollad.bench.device_rows.DevicePreprocessing` computes the same on a device, in single precision.

    Attributes
    ----------
    kind : {"none", "standardise", "scale", "contrast"}
        - "none": as they are.
        - "standardise": (x - mean) / standard deviation of each column; constants are these two, a tuple each.
        - "scale": (x / 255 - mean) / standard deviation; constants are these two numbers.
        - "contrast": v = x / 255 less its mean over the image, u = v / mean |v|; then (u - low) / (high - low), not
          clipped. Constants are low and high.
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
    """Return the preprocessing that standardises each column by these rows. Constant columns stay constant."""
    deviation = rows.std(0)
    deviation[deviation == 0] = 1
    return Preprocessing("standardise", (tuple(rows.mean(0).tolist()), tuple(deviation.tolist())))
