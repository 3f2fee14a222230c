"""Scores of an ONNX file for ``tollad score``: torch is not imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from tollad.cli.shared import Counted, print_result

if TYPE_CHECKING:
    from tollad.detector.estimator import TollDetector
    from tollad.detector.results import Scored


def score(
    model: str,
    data: str,
    path: str | None,
    reading: Mapping[str, Any],
    *,
    only_anomalies: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write the scores of the rows of a file to a path, or to standard output.

    Parameters
    ----------
    model, data : str
        The ONNX file and the file of the rows.
    path : str or None
    reading : mapping
        Keyword arguments of `tollad.detector.results.score_blocks`.
    only_anomalies, force, as_json : bool
    """
    from tollad.detector import results
    from tollad.detector.results import score_blocks
    from tollad.io.outputs import write_tables
    from tollad.serve.runtime import Runtime

    runtime = Runtime.load(model)
    # A Runtime has all attributes of a detector that these functions use.
    detector = cast("TollDetector", runtime)
    blocks: Iterator[Scored]
    if runtime.kind == "series":
        from tollad.serve.graph_series import score_file

        blocks = score_file(runtime, data, **{name: reading[name] for name in reading if name != "max_gib"})
    else:
        blocks = score_blocks(detector, data, **reading)
    counted = Counted()
    tables = results.result_tables(detector, blocks, only_anomalies=only_anomalies)
    write_tables(path, counted.watch(tables), overwrite=force)
    if as_json:
        print_result(True, {"output": path, **counted.result, "threshold": runtime.threshold}, "")
