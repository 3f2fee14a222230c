"""Learn the constants of `Features` from training rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tollad.tables.checks import refuse_missing
from tollad.tables.features import CLIP, CONSTANT_UNIT, NONE, Features, Preprocess, where
from tollad.tables.large import LargeRows, Rows, in_blocks, order_statistics, total_of_rows
from tollad.tables.units import deviations
from tollad.warn import listed, warn

# Values in windows of series are clipped only beyond this, so that spikes of different size have different scores.
_WINDOW_CLIP = 1000.0
# Flags are clipped to less: a missing value is weaker evidence than an extreme value.
_FLAG_CLIP = 3.0
# A constant column has a standard deviation of 0, so its scale is CONSTANT_UNIT of its size. Any other value then lies
# beyond the clip, unless it differs by rounding only, even of a float32. A column of zeros has no size, so its scale is
# a constant.
_CONSTANT_CLIP = 10.0
_ZERO_UNIT = 1e-12
# Values that differ by at most so many units of their last bit differ by rounding only.
_ROUNDING = 16


def fit_features(
    X: Rows,
    preprocess: Preprocess,
    names: Sequence[str],
    *,
    indicator: NDArray[np.bool_] | None = None,
    arcsinh: bool = False,
    n_channels: int | None = None,
    in_one_unit: bool = False,
) -> Features:
    """Learn the constants from training rows.

    Parameters
    ----------
    X : ndarray, (n, d) or (n, C, ...)
        Finite, but for missing values (NaN) in tables.
    preprocess : {"auto", "standard"} or None
        None takes values as they are, except missing ones; the others standardise. "auto" half standardises 32 columns
        of numbers or more, without those of 0 and 1, if the standard deviation of none is above ten times their
        median.
    names : sequence of str
        Names of the d columns of a table, for messages.
    indicator : ndarray of bool, (d,), optional
        Columns of 0 and 1. Mean and scale are computed with one more 0 and one more 1, so that a category without any
        training row gets a high score and no scale of zero.
    arcsinh : bool, default False
        Whether to learn the second view of a table. With ``preprocess=None`` there is none.
    n_channels : int, optional
        If given, rows are windows of a series with this many channels, one channel after the other. All columns of a
        channel get the same constants, and values are clipped later.
    in_one_unit : bool, default False
        Whether all columns of numbers are divided by the same number, the root of their mean variance, as those are
        that `tollad.tables.units.are_few_in_one_unit` finds. There is no second view then.

    Raises
    ------
    ValueError
        For a column without any value, values too large to standardise, and rows that cannot be windows of `n_channels`
        channels.

    Warns
    -----
    UserWarning
        For columns that are constant up to rounding, and for categories with one level.
    """
    if n_channels is not None and (X.ndim != 2 or X.shape[1] % n_channels or indicator is not None):
        raise ValueError(
            f"n_channels={n_channels} is for flat windows, rows (n, {n_channels} * w) of numbers; these rows "
            + (f"have shape {tuple(X.shape)}" if indicator is None else "have categories or dates")
        )
    if X.ndim == 2:
        filled = _filled(X, names)
        names = [*names, *(f"{names[column]} is missing" for column in filled.flagged)]
    else:
        refuse_missing(X)
        filled = Features(NONE, np.empty(0, np.int64), NONE, NONE, NONE, NONE)
        names = [f"channel {channel + 1}" for channel in range(X.shape[1])]
    if preprocess is None:
        return filled
    values = _Values.of(X, lambda block: filled.transform(block)[0])
    if n_channels is not None:
        values = values.by_channel(n_channels, X.shape[1])
    constant = values.are_constant(X.dtype)
    silent, smoothed = constant.copy(), np.zeros(len(constant), dtype=bool)
    if indicator is not None:
        smoothed[: len(indicator)] = indicator
        values = values.smoothed(smoothed, len(X))
        # An indicator that is always 0 is a level that no row has; one that is always 1 is a category's only level.
        silent[smoothed] &= values.lowest[smoothed] == 1
    constant &= ~smoothed
    _refuse_without_scale(values, constant, names)
    if silent.any():
        what = "columns" if X.ndim == 2 else "channels"
        warn(
            f"these {what} are constant among the training rows: {listed(where(names, silent))}; they tell nothing "
            "until a row differs from them by more than rounding"
        )
    one = constant.reshape(values.scale.shape)
    mean, scale, limit = values.mean, np.where(one, 1.0, values.scale), NONE
    if X.ndim == 2:
        mean = np.where(constant, values.lowest / 2 + values.highest / 2, mean)
        # The product may underflow to 0.
        unit = np.maximum(CONSTANT_UNIT * values.size, np.finfo(np.float64).tiny)
        scale = np.where(constant, np.where(values.size > 0, unit, _ZERO_UNIT), scale)
        limit = np.where(constant, _CONSTANT_CLIP, CLIP if n_channels is None else _WINDOW_CLIP)
        limit[X.shape[1] :] = _FLAG_CLIP
    deviation = np.ones_like(scale)
    if preprocess == "auto" and X.ndim == 2 and n_channels is None and indicator is None:
        standardised = replace(filled, mean=mean, scale=scale)
        deviation = deviations(scale, standardised.truths, constant, in_one_unit=in_one_unit)
    features = replace(filled, mean=mean, scale=scale / deviation, limit=limit)
    if not arcsinh or X.ndim > 2 or in_one_unit:
        return features
    short = _Values.of(X, lambda block: np.arcsinh(features.transform(block)[0]))
    if n_channels is not None:
        short = short.by_channel(n_channels, X.shape[1])
    spread = short.scale
    spread[smoothed] = np.maximum(spread[smoothed], np.arcsinh(np.sqrt(1 / len(X))))
    return replace(features, arcsinh_mean=short.mean, arcsinh_scale=np.where(one, 1.0, spread / deviation))


@dataclass(frozen=True)
class _Values:
    """What is known of the values of each column of a table, (d,), or each channel, (C,) or (C, 1, ...)."""

    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, X: Rows, change: Callable[[NDArray[Any]], NDArray[np.float64]]) -> Self:
        """Apply `change` to rows, block by block, and describe the values; the scale is their standard deviation."""
        axes = (0, *range(2, X.ndim))
        n = len(X) * int(np.prod([X.shape[axis] for axis in axes[1:]], dtype=np.int64))
        ranges = [(values.min(axes), values.max(axes)) for values in map(change, in_blocks(X))]
        lowest, highest = (np.array(ends) for ends in zip(*ranges, strict=True))
        with np.errstate(over="ignore", invalid="ignore"):
            mean = total_of_rows(X, change, axes) / n
            variance = total_of_rows(X, lambda block: (change(block) - mean) ** 2, axes) / n
        return cls(lowest.min(0), highest.max(0), mean[0], np.sqrt(variance)[0])

    @property
    def size(self) -> NDArray[np.float64]:
        return np.maximum(np.abs(self.lowest), np.abs(self.highest))

    def are_constant(self, kind: np.dtype[Any]) -> NDArray[np.bool_]:
        """Return which are constant: those of a table of floating-point numbers up to rounding."""
        constant: NDArray[np.bool_] = self.lowest == self.highest
        if self.scale.ndim == 1 and kind.kind == "f":
            constant |= self.highest / 2 - self.lowest / 2 <= _ROUNDING / 2 * np.finfo(kind).eps * self.size
        return constant

    def by_channel(self, n_channels: int, n_columns: int) -> Self:
        """Give all columns of a channel the same numbers. Flags after the columns stay as they are."""

        def of_channel(values: NDArray[np.float64], join: Callable[..., NDArray[np.float64]]) -> NDArray[np.float64]:
            by_channel = values[:n_columns].reshape(n_channels, -1)
            joined = np.broadcast_to(join(by_channel, axis=1, keepdims=True), by_channel.shape)
            return np.concatenate([joined.ravel(), values[n_columns:]])

        with np.errstate(over="ignore", invalid="ignore"):
            mean = of_channel(self.mean, np.mean)
            scale = np.sqrt(of_channel(self.scale**2 + (self.mean - mean) ** 2, np.mean))
        return replace(
            self,
            lowest=of_channel(self.lowest, np.min),
            highest=of_channel(self.highest, np.max),
            mean=mean,
            scale=scale,
        )

    def smoothed(self, chosen: NDArray[np.bool_], n: int) -> Self:
        """Describe the chosen columns, of 0 and 1, as if the `n` rows had one more 0 and one more 1."""
        mean, scale = self.mean.copy(), self.scale.copy()
        # Rounded, since a mean times n need not be the number of ones to the last bit.
        share = (np.rint(mean[chosen] * n) + 1) / (n + 2)
        mean[chosen], scale[chosen] = share, np.sqrt(share * (1 - share))
        return replace(self, mean=mean, scale=scale)


def _refuse_without_scale(values: _Values, constant: NDArray[np.bool_], names: Sequence[str]) -> None:
    scale = values.scale.ravel()
    for bad, what in ((~np.isfinite(scale), "are too large"), ((scale == 0) & ~constant, "differ too little")):
        if bad.any():
            name = names[int(np.flatnonzero(bad)[0])]
            raise ValueError(f"column {name!r}: the values {what} to standardise; rescale the column")


def _filled(X: Rows, names: Sequence[str]) -> Features:
    n_missing = np.sum([np.isnan(block).sum(0) for block in in_blocks(X)], axis=0)
    empty = n_missing == len(X)
    if empty.any():
        noun, verb, them = ("column", "has", "it") if empty.sum() == 1 else ("columns", "have", "them")
        raise ValueError(f"{noun} {listed(where(names, empty))} {verb} no value in any training row; drop {them}")
    if isinstance(X, LargeRows):
        n = len(X) - n_missing
        fill = order_statistics(X, np.stack([(n - 1) // 2, n // 2])).mean(0)
    else:
        fill = np.nanmedian(X.astype(np.float64, copy=False), axis=0)
    return Features(fill, np.flatnonzero(n_missing), NONE, NONE, NONE, NONE)
