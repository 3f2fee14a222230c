"""Scores of rows in blocks, from a file of any size or from Python, in constant memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tollad.detector.results import score_blocks
from tollad.io.rows import rows_in_block

if TYPE_CHECKING:
    from tollad.detector.estimator import TollDetector
    from tollad.io.skipped import Reject


def iter_scores(
    detector: TollDetector,
    source: str | os.PathLike[str] | Iterable[ArrayLike],
    *,
    header: bool | None = None,
    key: str | None = None,
    drop: Sequence[str] = (),
    reject: Reject | None = None,
) -> Iterator[NDArray[np.float64]]:
    """Score more rows than memory holds.

    Parameters
    ----------
    detector : TollDetector or SeriesDetector
        Fitted. For a SeriesDetector, rows are successive time steps.
    source : path or iterable of array-like
        A file as ``tollad score`` reads it (CSV, also gzipped, Parquet, NPY, NPZ), "-" for standard input; or blocks of
        rows, each as `TollDetector.anomaly_score` takes them. A single array (such as a `numpy.memmap`) or frame is cut
        into blocks.
    header, key, drop
        Of a file, as in `tollad.io.inputs.row_blocks`.
    reject : callable, optional
        ``(row number from 0, line or None, reason, text)``: called for each row of a file that cannot be read. Such
        rows then have no score. By default they are an error.

    Yields
    ------
    ndarray of float64, (b,)
        Anomaly scores of successive rows, high = anomalous: one array a block.

    Raises
    ------
    ValueError, TypeError, OSError
        If a file cannot be read, or rows are not as those of the fit.

    Examples
    --------
    >>> import numpy as np
    >>> from tollad import TollDetector, iter_scores
    >>> rng = np.random.default_rng(0)
    >>> detector = TollDetector(steps=50, random_state=0).fit(rng.normal(size=(200, 3)))
    >>> blocks = (rng.normal(size=(1000, 3)) for _ in range(5))
    >>> sum(int((scores > -detector.offset_).sum()) < 300 for scores in iter_scores(detector, blocks))
    5
    """
    of_series: Any = getattr(detector, "iter_scores", None)
    if of_series is not None:  # the score of a time step depends on the steps around it
        yield from of_series(source, header=header, key=key, drop=drop)
        return
    if isinstance(source, (str, os.PathLike)):
        for scored in score_blocks(detector, os.fspath(source), header=header, key=key, drop=drop, reject=reject):
            yield scored.scores
        return
    if header is not None or key is not None or drop or reject is not None:
        raise TypeError(
            "header, key, drop and reject are about files; leave them out when the rows are given as blocks"
        )
    blocks: Iterable[Any] = _cut(source) if hasattr(source, "shape") else source
    for block in blocks:
        if len(np.shape(block)) == 1 and not hasattr(block, "columns"):
            raise TypeError(
                "each block must hold rows, and this one is a single row or column; give tables, or one array"
            )
        yield detector.anomaly_score(block)


def _cut(rows: Any) -> Iterator[Any]:
    """Yield blocks of an array, of a frame of pandas, polars or Arrow, or of a sparse matrix of SciPy."""
    size = rows_in_block(rows.shape[1:])
    sliceable = rows.tocsr() if hasattr(rows, "tocsr") else getattr(rows, "iloc", rows)
    for start in range(0, rows.shape[0], size):
        yield sliceable[start : start + size]
