"""Models of rows at the command line, of tables and of arrays: fit and score."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import click

from tollad.cli import card
from tollad.cli.shared import Counted, print_result, resumable, tell_of_skipped
from tollad.detector.estimator import TollDetector
from tollad.detector.results import MostAnomalous, result_tables, score_blocks, watch_drift
from tollad.io.outputs import write_tables
from tollad.io.skipped import SkippedRows
from tollad.io.training import TrainingRows
from tollad.warn import printable

_MOST_IMAGES_DRAWN = 6


def fit(
    training: TrainingRows,
    model: str,
    parameters: Mapping[str, Any],
    *,
    checkpoint: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Fit a detector, save it, and print its card."""
    source = training.source
    detector = TollDetector(columns=training.columns, **parameters)
    with resumable(checkpoint):
        detector.fit(training.rows, checkpoint=checkpoint)
    detector.save(model, source=source, overwrite=force)
    history, columns = detector.history_, getattr(detector, "columns_", [])
    result = {
        "model": model,
        "rows_read": source.n_read,
        "rows_used": source.n_used,
        "shape": list(detector.input_shape_),
        "kinds": {column.name: column.kind for column in columns},
        "steps": detector.n_steps_,
        "initial_loss": fmean(history.initial_loss),
        "loss": fmean(history.loss[-1]),
        "threshold": -detector.offset_,
    }
    lines = {
        "rows": card.describe_rows(source),
        "columns": card.describe_columns(detector.input_shape_, getattr(detector, "feature_names_in_", None), columns),
        "steps": f"{detector.n_steps_}",
        "loss": f"{result['initial_loss']:.4g} at first, {result['loss']:.4g} at last",
        "threshold": card.describe_threshold(card.read_card(model)),
        "model": model,
    }
    print_result(as_json, result, card.aligned(lines))


def score(
    detector: Any,
    model: str,
    data: str,
    path: str | None,
    *,
    reading: Mapping[str, Any],
    only_anomalies: bool,
    fdr: float | None,
    drift: bool,
    n_reasons: int,
    plot: str | None,
    maps: str | None,
    skipped: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write the scores of the rows of a file; if asked to, draw those with the highest.

    Parameters
    ----------
    detector : TollDetector, ImageDetector or MethodDetector
        Read from the file `model`.
    model, data : str
    path : str or None
        Where to write; None for standard output.
    reading : mapping
        Keyword arguments of `tollad.detector.results.score_blocks`.
    only_anomalies, fdr, drift, n_reasons, plot, maps, skipped, force, as_json
        The options of ``tollad score``; `n_reasons` is 0 for none.

    Raises
    ------
    click.UsageError
        For options that do not fit the model.
    """
    if (fdr is not None or drift) and not hasattr(detector, "calibration_scores_"):
        raise ValueError(
            f"{model}: has no calibration rows, which --fdr and --drift need; fit with --false-alarm-rate, "
            "or give it some with: tollad calibrate"
        )
    _check_options(
        detector,
        data,
        n_reasons=n_reasons,
        plot=plot,
        maps=maps,
        identifier=reading["column"],
        skips=skipped is not None,
    )
    are_images = len(detector.input_shape_) == 3
    highest = MostAnomalous(_MOST_IMAGES_DRAWN if are_images else 1)
    with contextlib.ExitStack() as stack:
        bad = None if skipped is None else stack.enter_context(SkippedRows(skipped, overwrite=force))
        blocks = score_blocks(detector, data, reject=bad, **reading)
        if drift:
            blocks = watch_drift(blocks, detector.calibration_scores_)
        if maps is not None:
            from tollad.cli import images

            blocks = images.with_maps(detector, blocks, maps, overwrite=force)
        if plot is not None:
            blocks = highest.watch(blocks)
        tables = result_tables(detector, blocks, only_anomalies=only_anomalies, fdr=fdr, n_reasons=n_reasons)
        counted = Counted()
        write_tables(path, counted.watch(tables) if as_json else tables, overwrite=force)
    if as_json:
        n_skipped = 0 if bad is None else bad.n
        result = {"output": path, **counted.result, "rows_skipped": n_skipped, "threshold": -detector.offset_}
        print_result(True, result, "")
    tell_of_skipped(bad, "image" if are_images else "row")
    if plot is not None:
        _draw(detector, highest, data, plot, n_reasons=n_reasons, overwrite=force)


def _check_options(
    detector: Any,
    data: str,
    *,
    n_reasons: int,
    plot: str | None,
    maps: str | None,
    identifier: str | None,
    skips: bool,
) -> None:
    """Raise a usage error for options that do not fit the model."""
    if skips and len(detector.input_shape_) > 1 and not os.path.isdir(data):
        raise click.UsageError(
            "--on-error skip is for rows of tables and for folders of images; arrays and IDX files are read whole or "
            "not at all."
        )
    if (n_reasons or plot is not None) and not hasattr(detector, "explain"):
        raise click.UsageError("--explain and --plot show the reasons for scores; a model of fit --method gives none.")
    is_of_images = hasattr(detector, "anomaly_map")
    if n_reasons and is_of_images:
        raise click.UsageError("--explain is for rows of tables; draw images with --plot or --maps.")
    if maps is not None and not is_of_images:
        raise click.UsageError("--maps needs a model of images with another representation than pixels.")
    if maps is not None and identifier not in (None, "file"):
        raise click.UsageError("--maps names its files by the images; leave out --id.")
    if maps is not None and os.path.isdir(data) and Path(maps).resolve().is_relative_to(Path(data).resolve()):
        raise click.UsageError(f"--maps {maps} lies in the folder of images, where maps would be read as images, too.")


def _draw(detector: Any, highest: MostAnomalous, data: str, plot: str, *, n_reasons: int, overwrite: bool) -> None:
    """Draw why the rows with the highest scores are anomalous."""
    from tollad import plots

    explanation, (_, row, _) = detector.explain(highest.rows), highest.found[0]
    title = f"row {row + 1} of {printable(data)}"
    if hasattr(detector, "anomaly_map"):
        names = [value or f"image {row + 1}" for _, row, value in highest.found]
        plots.image_maps(highest.rows, explanation.maps, explanation.scores, names, plot, overwrite=overwrite)
    elif len(detector.input_shape_) == 3:
        names = [value or f"row {row + 1}" for _, row, value in highest.found]
        plots.part_maps(explanation, names, plot, overwrite=overwrite)
    elif len(detector.input_shape_) > 1:
        plots.part_map(explanation, 0, plot, title=title, overwrite=overwrite)
    else:
        plots.reason_bars(explanation, 0, plot, title=title, most=n_reasons or 10, overwrite=overwrite)
