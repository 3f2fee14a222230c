"""Scaling of rows for a method: steps by name, fitted on training rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Rows = NDArray[np.float64]
_Constants = dict[str, NDArray[np.float64]]
_IMAGE_VALUES = 255.0
_EXPLAINED = 0.95


def contrast(images: NDArray[Any]) -> _Rows:
    """Global contrast normalisation with the L1 norm: zero mean, and a mean absolute value of 1, image by image.

    Parameters
    ----------
    images : ndarray, shape (n, ...)
        Values on one scale, such as 0 to 255.

    Returns
    -------
    ndarray of float64, of the same shape
        An image with only one value becomes 0.

    Examples
    --------
    >>> import numpy as np
    >>> contrast(np.array([[0, 10, 20, 30]], dtype=np.uint8)).round(3)
    array([[-1.5, -0.5,  0.5,  1.5]])
    """
    pixels = images.reshape(len(images), -1)
    # The division by 255 changes only the last bits. With it, the paper's extremes are met to the last digit.
    values = pixels / _IMAGE_VALUES
    values -= values.mean(1, keepdims=True)
    values[pixels.min(1) == pixels.max(1)] = 0  # otherwise the rounding of the mean would remain
    size = np.abs(values).mean(1, keepdims=True)
    values /= np.where(size == 0, 1, size)
    return values.reshape(images.shape)


def _none(rows: _Rows) -> _Constants:
    return {}


def _need_bytes(rows: _Rows) -> _Constants:
    if rows.min() >= 0 and 0 < rows.max() <= 1:
        raise ValueError(
            "all values of the images lie from 0 to 1, and they are to lie from 0 to 255: multiply them by 255"
        )
    return {}


def _fit_standardise(rows: _Rows) -> _Constants:
    deviation = rows.std(0)
    return {"shift": rows.mean(0), "size": np.where(deviation == 0, 1, deviation)}


def _fit_minmax(rows: _Rows) -> _Constants:
    low, high = rows.min(0), rows.max(0)
    return {"shift": low, "size": np.where(high == low, 1, high - low)}


def _fit_contrast(rows: _Rows) -> _Constants:
    values = contrast(rows)
    low, high = values.min(), values.max()
    return {"shift": np.array(low), "size": np.array(high - low if high > low else 1.0)}


def _fit_pca(rows: _Rows) -> _Constants:
    flat = rows.reshape(len(rows), -1)
    if (flat == flat[0]).all():
        raise ValueError("all rows to fit are the same, so they have no principal components; scale them without pca")
    mean = flat.mean(0)
    # Eigenvectors of the smaller of the two product matrices.
    centred = flat - mean
    if len(flat) < flat.shape[1]:
        values, left = np.linalg.eigh(centred @ centred.T)
        kept = values > values[-1] * 1e-12
        values, axes = values[kept], (left[:, kept].T @ centred) / np.sqrt(values[kept])[:, None]
    else:
        values, vectors = np.linalg.eigh(centred.T @ centred)
        axes = vectors.T
    values, axes = values[::-1].clip(0), axes[::-1]
    n = int(np.searchsorted(values.cumsum() / values.sum(), _EXPLAINED)) + 1
    return {"mean": mean, "axes": axes[:n]}


def _affine(rows: _Rows, constants: Mapping[str, _Rows]) -> _Rows:
    scaled: _Rows = (rows - constants["shift"]) / constants["size"]
    return scaled


def _onto_axes(rows: _Rows, constants: Mapping[str, _Rows]) -> _Rows:
    from tollad.training.product import Product  # it loads torch, which data sets do without

    return Product(constants["axes"].T)(rows.reshape(len(rows), -1) - constants["mean"])


_STEPS: dict[str, tuple[Callable[[_Rows], _Constants], Callable[[_Rows, Mapping[str, _Rows]], _Rows]]] = {
    "none": (_none, lambda rows, _: rows),
    "standardise": (_fit_standardise, _affine),
    "minmax": (_fit_minmax, _affine),
    "unit": (_need_bytes, lambda rows, _: rows / _IMAGE_VALUES),
    "signed": (_need_bytes, lambda rows, _: rows / (_IMAGE_VALUES / 2) - 1),
    "contrast": (_fit_contrast, lambda rows, constants: _affine(contrast(rows), constants)),
    "pca": (_fit_pca, _onto_axes),
}
STEPS = tuple(_STEPS)
"""The names of the steps."""


class Scaling:
    """Steps applied to rows one after another.

    Parameters
    ----------
    steps : str
        Names joined by ``+``, such as ``"contrast+pca"``:

        - "none": as they are.
        - "standardise": each column minus its mean, divided by its standard deviation if that is not 0.
        - "minmax": each column from [minimum, maximum] to [0, 1], not clipped; a constant column minus its minimum.
        - "unit", "signed": images of 0 to 255 to [0, 1] or [-1, 1].
        - "contrast": `contrast` of each image, then from the extremes of all training values to [0, 1], not clipped.
        - "pca": as many principal components as explain 95 % of the variance, not whitened.
    constants : sequence of mappings, optional
        Constants from `fit`, one mapping for each step.

    Raises
    ------
    ValueError
        For an unknown step.

    Examples
    --------
    >>> import numpy as np
    >>> Scaling("standardise").fit(np.array([[0.0, 5.0], [2.0, 5.0]]))(np.array([[3.0, 6.0]]))
    array([[2., 1.]])
    """

    def __init__(self, steps: str, constants: list[_Constants] | None = None) -> None:
        self._names = steps.split("+")
        for name in self._names:
            if name not in _STEPS:
                raise ValueError(f"there is no scaling {name!r}; there are {', '.join(_STEPS)}, joined by '+'")
        self._constants = constants

    def fit(self, rows: NDArray[Any]) -> Scaling:
        """Fit the steps to training rows, (n, ...). Each step is fitted to the output of the steps before it.

        Raises
        ------
        ValueError
            If all rows are the same before "pca", or all values lie from 0 to 1 before "unit" or "signed".
        """
        self._constants, values = [], np.asarray(rows, np.float64)
        for name in self._names:
            fit, apply = _STEPS[name]
            self._constants.append(fit(values))
            values = apply(values, self._constants[-1])
        return self

    def __call__(self, rows: NDArray[Any]) -> _Rows:
        """Return rows as float64: of the same shape, or (n, n_components) after "pca"."""
        assert self._constants is not None
        values = np.asarray(rows, np.float64)
        for name, constants in zip(self._names, self._constants, strict=True):
            values = _STEPS[name][1](values, constants)
        return values

    def state(self) -> _Constants:
        """Return the constants, named by step."""
        assert self._constants is not None
        return {f"{i}.{name}": value for i, step in enumerate(self._constants) for name, value in step.items()}

    @classmethod
    def from_state(cls, steps: str, state: Mapping[str, NDArray[Any]]) -> Scaling:
        """Return the scaling with these steps and constants."""
        constants: list[_Constants] = [{} for _ in steps.split("+")]
        for key, value in state.items():
            number, _, name = key.partition(".")
            constants[int(number)][name] = value
        return cls(steps, constants)
