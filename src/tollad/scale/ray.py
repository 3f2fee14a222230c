"""A model as a step of a Ray Data pipeline: Arrow in, Arrow out.

Nothing here imports Ray, and a `BatchScorer` works without it.
"""

from __future__ import annotations

import os

import numpy as np
import pyarrow as pa

from tollad.detector.estimator import TollDetector
from tollad.detector.results import expected_by
from tollad.scale.models import detector_of
from tollad.serve.answers import answers
from tollad.warn import listed

__all__ = ["BatchScorer"]


class BatchScorer:
    """Scores batches of rows by one model, which is loaded once for each actor.

    Parameters
    ----------
    model : path or bytes
        A model file of tables: a path that all workers see, or the file's bytes.

    Raises
    ------
    ValueError
        If it is no model of tables.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import numpy as np, pyarrow as pa, tempfile
    >>> from tollad import TollDetector
    >>> path = f"{tempfile.mkdtemp()}/model.tollad"
    >>> normal = pa.table({name: np.random.default_rng(seed).normal(size=200) for seed, name in enumerate("ab")})
    >>> TollDetector(steps=50, random_state=0).fit(normal).save(path)
    >>> BatchScorer(path)(normal).column_names
    ['a', 'b', 'anomaly_score', 'anomaly']

    With a cluster::

        rows = ray.data.read_parquet("in/")
        scored = rows.map_batches(BatchScorer, fn_constructor_args=(path,), batch_format="pyarrow", concurrency=2)
        scored.write_parquet("out/")
    """

    def __init__(self, model: str | os.PathLike[str] | bytes) -> None:
        detector = detector_of(model)
        if not isinstance(detector, TollDetector) or len(detector.input_shape_) != 1:
            raise ValueError("a BatchScorer is for models of tables: batches are rows, and no series or images")
        self._detector, self._expected = detector, expected_by(detector)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Return a batch with its answers beside its columns.

        Parameters
        ----------
        batch : pyarrow.Table, n rows
            With the columns of the fit, in any order. Other columns are passed on.

        Returns
        -------
        pyarrow.Table, n rows
            ``anomaly_score``, double, high = anomalous; ``anomaly``, bool; and of a calibrated model ``p_value``,
            double in (0, 1]. A row has the same bits in any batch.

        Raises
        ------
        ValueError
            For a batch without a column of the fit, with values of another kind, or with a column named like an answer.
        """
        names = self._expected.names
        lacking = [name for name in names if name not in batch.column_names]
        if lacking:
            raise ValueError(
                f"the batch lacks columns that the model was fitted on: {listed(lacking, most=10)}; add them"
            )
        calibrated = self._detector.decision_.calibration_scores is not None
        answered = ["anomaly_score", "anomaly", *(["p_value"] if calibrated else [])]
        taken = [name for name in answered if name in batch.column_names]
        if taken:
            raise ValueError(f"the name of column {taken[0]!r} is taken by the answers; rename the column")
        if not batch.num_rows:  # a filter before this step may leave an empty batch
            types = {"anomaly": pa.bool_()}
            return _with(batch, {name: pa.array([], types.get(name, pa.float64())) for name in answered})
        rows = batch.select(names)
        if not self._expected.named:
            rows = np.column_stack([column.to_numpy() for column in rows.columns])
        return _with(batch, {name: pa.array(values) for name, values in answers(self._detector, rows).items()})


Scorer = BatchScorer  # its former name


def _with(batch: pa.Table, columns: dict[str, pa.Array]) -> pa.Table:
    for name, values in columns.items():
        batch = batch.append_column(name, values)
    return batch
