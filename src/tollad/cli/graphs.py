"""Scores of an ONNX file for ``tollad score``: torch is not imported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import click

from tollad.cli.shared import print_result

if TYPE_CHECKING:
    from tollad.cli.asked import ScoreOptions
    from tollad.detector.estimator import TollDetector
    from tollad.detector.results import Scored


def score(asked: ScoreOptions) -> None:
    """Write the scores of the rows of a file."""
    if asked.needs_model() or asked.n_reasons or asked.moved:
        raise click.UsageError("An ONNX file gives scores and verdicts; other options need the model file.")
    from tollad.detector.results import Counted, result_tables, score_blocks
    from tollad.io.outputs import write_tables
    from tollad.serve.runtime import Runtime

    runtime = Runtime.load(asked.model)
    # A Runtime has all attributes of a detector that these functions use.
    detector = cast("TollDetector", runtime)
    blocks: Iterator[Scored]
    if runtime.kind == "series":
        from tollad.serve.graph_series import score_file

        blocks = score_file(runtime, asked.data, **asked.reading, written=asked.written)
    else:
        blocks = score_blocks(detector, asked.data, **asked.reading, written=asked.written, max_gib=asked.max_gib)
    counted = Counted()
    tables = result_tables(detector, blocks, only_anomalies=asked.only_anomalies)
    write_tables(asked.path, counted.watch(tables), overwrite=asked.force)
    if asked.as_json:
        counts = {"rows_written": counted.n_rows, "anomalies": counted.n_anomalies}
        print_result(True, {"output": asked.path, **counts, "threshold": runtime.threshold}, "")
