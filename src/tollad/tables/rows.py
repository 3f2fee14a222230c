"""Validation of rows: shape, columns and names are learnt at fit and checked in every later call.

Like scikit-learn's `validate_data`, the functions set attributes of an estimator: `n_features_in_`,
`feature_names_in_`, `input_shape_` and `columns_`. They add frames of mixed columns, images and series.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from tollad.tables.checks import check_axes, refuse_infinite, refuse_missing
from tollad.tables.doubtful import warn_of_numbers
from tollad.tables.encode import encode, encode_codes, recode, recount, to_codes
from tollad.tables.features import names_of
from tollad.tables.frames import all_numbers, as_rows, is_nameless, to_arrow
from tollad.tables.keys import is_key, names_key
from tollad.tables.large import LargeRows, Rows, as_large, in_blocks, settled, take
from tollad.tables.objects import numbers_of, with_objects
from tollad.tables.schema import Column, Encoding, encoding, number_columns
from tollad.tables.survey import fit_columns
from tollad.warn import listed

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

Splitter: TypeAlias = Callable[[int], tuple[NDArray[np.int64], NDArray[np.int64]] | None]
"""Divides n rows: maps n to the row numbers to train on and those to calibrate on, or to None to train on all."""


def learn_rows(estimator: BaseEstimator, X: ArrayLike | LargeRows, split: Splitter) -> tuple[Rows, Rows | None]:
    """Return rows as arrays of numbers, and set the attributes of the estimator against which later rows are checked.

    The kinds of columns follow from all rows. Frequencies of categories follow from the rows to train on only, so that
    the rows to calibrate on are as new to the detector as later rows are.

    Parameters
    ----------
    estimator : BaseEstimator
        Its parameter `columns` may name the kinds of columns of a frame.
    X : array-like, frame or LargeRows, (n, d), (n, H, W), (n, C, H, W) or (n, C, T)
    split : callable
        ``n -> (numbers of the rows to train on, numbers of those to calibrate on)``, or None to train on all.

    Returns
    -------
    trained : ndarray or LargeRows, (n, ...)
        Without infinite values; NaN, where missing, only in tables. Beyond memory if `X` is, or is a large
        `numpy.memmap`.
    held_out : the same, or None

    Raises
    ------
    ValueError, TypeError
        For rows that cannot be learnt from; the message names the place.
    """
    for learnt in ("columns_", "_numbered_names"):
        if hasattr(estimator, learnt):
            delattr(estimator, learnt)
    if isinstance(X, LargeRows):
        return _learn_large(estimator, X, split)
    given: Any = _unmasked(X)
    table = to_arrow(given)
    given = numbers_of(given) if isinstance(given, np.ndarray) else given
    if table is not None and not table.num_columns:
        raise ValueError("the table has no columns; give at least one column and one row")
    given = table if isinstance(given, pa.Table) else given  # without columns of an index
    if table is None and estimator.columns is not None:
        raise ValueError("columns= names columns of a frame; the rows are an array without names")
    if table is None or (estimator.columns is None and _is_plain_table(table)):
        rows = as_large(_validated(estimator, given, reset=True), given)
        check_axes(rows.shape)
        estimator.input_shape_ = rows.shape[1:]
        if table is not None and not hasattr(estimator, "feature_names_in_"):
            # scikit-learn learns names only if they are text; those of a frame may be numbers.
            estimator._numbered_names = table.column_names
        _refuse(estimator, rows)
        is_table = rows.ndim == 2 and getattr(estimator, "n_channels", None) is None
        if is_table and not isinstance(rows, LargeRows):
            warn_of_numbers(rows if table is None else table, names_of(estimator))
    else:
        columns = fit_columns(table, estimator.columns)
        estimator.input_shape_ = (table.num_columns,)
        _validate_data(estimator, given, skip_check_array=True)
        parts = divide(to_codes(table, columns), split)
        estimator.columns_, encoded = _learn_columns(columns, parts)
        return encoded
    return divide(rows, split)


def _is_plain_table(table: pa.Table) -> bool:
    """Return whether all columns of a frame are named numbers and no keys, so that no kinds must be decided."""
    return all_numbers(table) and not any(
        is_nameless(name) or is_key(name, column.to_numpy())
        for name, column in zip(table.column_names, table.columns, strict=True)
        if is_nameless(name) or names_key(name)
    )


def divide(rows: Rows, split: Splitter) -> tuple[Rows, Rows | None]:
    """Return the rows to train on and those to calibrate on, if any."""
    if len(rows) < 2:
        raise ValueError("a fit needs at least 2 rows; there is n_samples=1")
    parts = split(len(rows))
    return (rows, None) if parts is None else (take(rows, parts[0]), take(rows, parts[1]))


def _learn_columns(
    columns: Sequence[Column], parts: tuple[Rows, Rows | None]
) -> tuple[list[Column], tuple[Rows, Rows | None]]:
    """Return the columns, learnt from the rows to train on, and both parts encoded; `parts` are codes."""
    trained, held_out = parts
    if held_out is None:
        return [*columns], (_changed(trained, partial(encode_codes, columns=columns)), None)
    learnt, indices = recount(columns, in_blocks(trained))

    def encoded(codes: NDArray[Any]) -> NDArray[Any]:
        return encode_codes(recode(codes, indices), learnt)

    return learnt, (_changed(trained, encoded), _changed(held_out, encoded))


def _changed(rows: Rows, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Rows:
    return rows.changed(change) if isinstance(rows, LargeRows) else change(rows)


def _learn_large(estimator: BaseEstimator, rows: LargeRows, split: Splitter) -> tuple[Rows, Rows | None]:
    """Set the attributes of the estimator. The rows were checked when they were stored."""
    parts = divide(rows, split)
    if hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_
    if rows.names is not None:
        estimator.feature_names_in_ = np.array(rows.names, dtype=object)
    estimator.n_features_in_ = rows.shape[1] if rows.columns is None else len(rows.columns)
    estimator.input_shape_ = (estimator.n_features_in_,)
    if rows.columns is not None:
        estimator.columns_, parts = _learn_columns(rows.columns, parts)
    return parts


def check_rows(estimator: Any, X: ArrayLike) -> NDArray[Any]:
    """Return rows as an array of numbers whose columns and shape are those of the fit, as `learn_rows` does.

    `estimator` is anything with the attributes that `learn_rows` has set.

    Raises
    ------
    ValueError, TypeError
        For other columns, shapes or types than those of the fit; the message names the place.
    """
    if isinstance(X, np.ndarray) and _is_plain(estimator, X):
        return X
    X = _unmasked(X)
    table = to_arrow(X)
    if table is not None and not table.num_rows:
        raise ValueError("the table has no rows; give at least one")
    if hasattr(estimator, "columns_"):
        if table is None:
            raise ValueError("the detector was fitted on a frame with named columns; give one with the same columns")
        return encode(table, estimator.columns_)
    if table is not None and table.column_names != getattr(estimator, "_numbered_names", table.column_names):
        # scikit-learn compares names only if they are text.
        raise ValueError(
            f"the columns of the frame are called {listed(table.column_names, most=10)}, but those of the fit "
            f"{listed(estimator._numbered_names, most=10)}; give the same columns in the same order"
        )
    truths = getattr(estimator, "truths_", None)
    if table is not None and not (all_numbers(table) and (truths is None or not _holds_truths(table))):
        # The columns of the fit were numbers. Text is read as numbers, or refused with the name of its column.
        _check_names(estimator, X, table, reset=False)
        return encode(table, number_columns(table.column_names, truths))
    rows = _validated(estimator, X, reset=False)
    if rows.shape[1:] != estimator.input_shape_:
        raise ValueError(f"the rows have shape {rows.shape[1:]}; the detector was fitted on {estimator.input_shape_}")
    numbers_of(X if isinstance(X, np.ndarray) and X.dtype.kind in "Ob" else rows, names_of(estimator), truths)
    _refuse(estimator, as_large(rows, X))
    return rows


def _holds_truths(table: pa.Table) -> bool:
    return any(map(pa.types.is_boolean, table.schema.types))


def encoding_of(estimator: BaseEstimator) -> Encoding | None:
    """Return the encoding of the columns if the rows were a frame of mixed columns; else None."""
    return encoding(estimator.columns_) if hasattr(estimator, "columns_") else None


def _unmasked(X: Any) -> Any:
    """Return rows as an array or a frame.

    Masked values become missing; scikit-learn would take the values under the mask.
    """
    X = with_objects(settled(as_rows(X)))
    return np.ma.filled(X.astype(np.float64), np.nan) if isinstance(X, np.ma.MaskedArray) else X


def _validate_data(estimator: BaseEstimator, X: Any, **how: Any) -> Any:
    """Check rows as scikit-learn does. Its import takes longer than to score a file that needs no such check."""
    from sklearn.utils.validation import validate_data

    return validate_data(estimator, X, **how)


def _check_names(estimator: BaseEstimator, X: Any, table: pa.Table, *, reset: bool) -> None:
    """Check the names of the columns of a frame `X` against those of the fit, or with `reset` learn them."""
    names = getattr(estimator, "feature_names_in_", None)
    if reset or names is None or names.tolist() != table.column_names:
        _validate_data(estimator, X, reset=reset, skip_check_array=True)


def _validated(estimator: BaseEstimator, X: ArrayLike, *, reset: bool) -> NDArray[Any]:
    if hasattr(X, "to_struct_array") and (table := to_arrow(X)) is not None:
        # Arrow: scikit-learn finds no names on a record batch, and would make objects of booleans with missing values.
        _check_names(estimator, table, table, reset=reset)
        return to_codes(table, [Column(name, "number") for name in table.column_names])
    if isinstance(X, np.ndarray) and X.dtype.kind == "c":
        raise ValueError("Complex data not supported: give real and imaginary parts as columns of their own")
    # Contiguous, since sums over strided rows round differently.
    if not reset and isinstance(X, np.ndarray) and _is_like_the_fit(estimator, X):
        return np.ascontiguousarray(X)
    rows: NDArray[Any] = _validate_data(
        estimator, X, reset=reset, dtype="numeric", order="C", ensure_all_finite=False, allow_nd=True
    )
    if rows.dtype.kind in "mM":
        raise TypeError(f"the rows are of type {rows.dtype}; dates and durations are read from frames, or made numbers")
    return rows


def _refuse(estimator: BaseEstimator, rows: Rows) -> None:
    refuse_infinite(rows, names_of(estimator))
    if rows.ndim > 2:
        refuse_missing(rows)


def _is_like_the_fit(estimator: BaseEstimator, X: NDArray[Any]) -> bool:
    """Return whether an array is one of numbers that scikit-learn's checks would not change."""
    return (
        X.dtype.kind in "fiub"
        and len(X) > 0
        and X.shape[1:] == estimator.input_shape_
        and not hasattr(estimator, "feature_names_in_")
    )


def _is_plain(estimator: BaseEstimator, X: NDArray[Any]) -> bool:
    """Return whether rows clearly need no conversion.

    Then scikit-learn's checks, which take longer than scoring one row, are skipped.
    """
    return (
        type(X) is np.ndarray
        and X.dtype in (np.float32, np.float64)
        and len(X) > 0
        and X.shape[1:] == estimator.input_shape_
        and X.flags.c_contiguous
        and not hasattr(estimator, "feature_names_in_")
        and not hasattr(estimator, "columns_")
        and bool(np.isfinite(X).all())
    )
