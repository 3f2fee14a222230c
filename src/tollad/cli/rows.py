"""Models of rows at the command line, of tables and of arrays: fit and score."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from statistics import fmean
from typing import Any

import click

from tollad.cli import card
from tollad.cli.asked import FitOptions, ScoreOptions
from tollad.cli.shared import print_result, print_scored, resumable, tell_of_skipped
from tollad.detector.results import Counted, MostAnomalous, result_tables, score_blocks, watch_drift
from tollad.io.outputs import write_tables
from tollad.io.skipped import SkippedRows
from tollad.io.training import TrainingRows
from tollad.warn import printable

_MOST_IMAGES_DRAWN = 6


def fit(training: TrainingRows, asked: FitOptions) -> None:
    """Fit a detector, save it, and print its card."""
    from tollad.detector.estimator import TollDetector  # with scikit-learn, which `score` does not need

    source = training.source
    detector = TollDetector(columns=training.columns, **asked.parameters)
    with resumable(asked.checkpoint):
        detector.fit(training.rows, checkpoint=asked.checkpoint)
    detector.save(asked.model, source=source, overwrite=asked.force)
    history, columns = detector.history_, getattr(detector, "columns_", [])
    result = {
        "model": asked.model,
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
        "threshold": card.describe_threshold(card.read_card(asked.model)),
        "model": asked.model,
    }
    print_result(asked.as_json, result, card.aligned(lines))


def score(detector: Any, asked: ScoreOptions) -> None:
    """Write the scores of the rows of a file; if asked to, draw those with the highest.

    Parameters
    ----------
    detector : TollDetector, ImageDetector or MethodDetector
        Read from the file of the model.
    asked : ScoreOptions

    Raises
    ------
    click.UsageError
        For options that do not fit the model.
    """
    _check_options(detector, asked)
    if asked.moved:
        detector.set_threshold(**asked.moved)
    are_images = len(detector.input_shape_) == 3
    highest = MostAnomalous(_MOST_IMAGES_DRAWN if are_images else 1)
    counted, skipped = Counted(), asked.list_of_skipped
    with contextlib.ExitStack() as stack:
        bad = None if skipped is None else stack.enter_context(SkippedRows(skipped, overwrite=asked.force))
        blocks = score_blocks(
            detector, asked.data, reject=bad, **asked.reading, written=asked.written, max_gib=asked.max_gib
        )
        if asked.drift:
            blocks = watch_drift(blocks, detector.calibration_scores_)
        if asked.maps is not None:
            from tollad.cli import images

            blocks = images.with_maps(detector, blocks, asked.maps, overwrite=asked.force)
        if asked.plot is not None:
            blocks = highest.watch(blocks)
        tables = result_tables(
            detector, blocks, only_anomalies=asked.only_anomalies, fdr=asked.fdr, n_reasons=asked.n_reasons
        )
        write_tables(asked.path, counted.watch(tables) if asked.as_json else tables, overwrite=asked.force)
    if asked.as_json:
        print_scored(asked, counted, bad, -detector.offset_)
    tell_of_skipped(bad, "image" if are_images else "row")
    if asked.plot is not None:
        _draw(detector, highest, asked.data, asked.plot, n_reasons=asked.n_reasons, overwrite=asked.force)


def _check_options(detector: Any, asked: ScoreOptions) -> None:
    """Raise a usage error for options that do not fit the model."""
    if asked.events is not None or asked.causal or asked.state is not None:
        raise click.UsageError("--events, --causal and --state are for series, and MODEL is one of rows.")
    if (asked.fdr is not None or asked.drift) and not hasattr(detector, "calibration_scores_"):
        raise ValueError(
            f"{asked.model}: has no calibration rows, which --fdr and --drift need; fit with --false-alarm-rate, "
            "or give it some with: tollad calibrate"
        )
    is_folder = os.path.isdir(asked.data)
    if asked.on_error == "skip" and len(detector.input_shape_) > 1 and not is_folder:
        raise click.UsageError(
            "--on-error skip is for rows of tables and for folders of images; arrays and IDX files are read whole or "
            "not at all."
        )
    if (asked.n_reasons or asked.plot is not None) and not hasattr(detector, "explain"):
        raise click.UsageError("--explain and --plot show the reasons for scores; a model of fit --method gives none.")
    is_of_images = hasattr(detector, "anomaly_map")
    if asked.n_reasons and is_of_images:
        raise click.UsageError("--explain is for rows of tables; draw images with --plot or --maps.")
    if asked.maps is None:
        return
    if not is_of_images:
        raise click.UsageError("--maps needs a model of images with another representation than pixels.")
    if asked.identifiers[:1] not in ((), ("file",)):
        raise click.UsageError("--maps names its files by the images; leave out --id.")
    if is_folder and Path(asked.maps).resolve().is_relative_to(Path(asked.data).resolve()):
        raise click.UsageError(
            f"--maps {asked.maps} lies in the folder of images, where maps would be read as images, too."
        )


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
