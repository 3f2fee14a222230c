"""``tollad sweep``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from tollad.cli.many import calling
from tollad.cli.numbers import Integer
from tollad.cli.options import DETECTOR_OPTIONS
from tollad.cli.shared import (
    check_kinds,
    check_label,
    force_option,
    input_options,
    jobs_option,
    json_option,
    normal_option,
    print_result,
    ray_option,
    resumable,
)
from tollad.warn import tell

_SWEPT = {"beta", "latent_dim", "random_state", "early_stopping", "verbose"}


def _listed(number: Callable[[str], Any], *words: str) -> Callable[[str], tuple[Any, ...]]:
    def read(text: str) -> tuple[Any, ...]:
        try:
            return tuple(part if part in words else number(part) for part in text.split(","))
        except ValueError:
            raise click.BadParameter(f"{text!r} is no list of numbers; give some such as 1,2,4.") from None

    return read


@click.command()
@click.argument("train")
@click.option("--label", metavar="COL", help="Column that says which rows are normal; it is no feature.")
@normal_option
@click.option("--drop", multiple=True, metavar="COL", help="A column that is no feature; may repeat.")
@click.option(
    "--beta",
    "betas",
    type=_listed(float),
    default="0.1,1,10",
    show_default=True,
    metavar="B,...",
    help="Weights of the latent norm to try.",
)
@click.option(
    "--latent-dim",
    "latent_dims",
    type=_listed(int, "auto"),
    default="auto",
    show_default=True,
    metavar="N,...",
    help="Lengths of the latent to try.",
)
@click.option("--seeds", type=Integer(1, 100), default=3, show_default=True, metavar="N", help="Fits of each.")
@click.option(
    "--test", metavar="FILE", help="Labelled rows to measure on as well; --label and --normal say which are normal."
)
@click.option(
    "--by",
    type=click.Choice(["shuffled", "agreement", "generalisation", "auroc"]),
    help="Criterion that chooses the best.  [default: shuffled, or auroc with --test]",
)
@click.option("-o", "--output", metavar="OUT", help="Write the table, too: a .csv, .jsonl or .parquet file.")
@click.option("--plot", metavar="FILE", help="Draw the criteria: a .png, .pdf or .svg file.")
@click.option("--save", "model", metavar="MODEL", help="Write the best as a model file.")
@click.option(
    "--checkpoint",
    metavar="DIR",
    help="Keep the states of the trainings in a folder; the same command goes on from it.",
)
@jobs_option
@ray_option
@input_options
@force_option
@json_option
def sweep(
    train: str,
    label: str | None,
    normal: tuple[str, ...],
    drop: tuple[str, ...],
    betas: tuple[float, ...],
    latent_dims: tuple[int | str, ...],
    seeds: int,
    test: str | None,
    by: str | None,
    output: str | None,
    plot: str | None,
    model: str | None,
    checkpoint: str | None,
    jobs: int | None,
    address: str | None,
    header: bool | None,
    key: str | None,
    written: dict[str, Any],
    max_gib: float,
    force: bool,
    as_json: bool,
    **parameters: Any,
) -> None:
    """Fit detectors to TRAIN with several values of beta, latent_dim and seed, and compare them.

    TRAIN is read as by fit. A fifth of its rows is held out. All detectors are trained together. Without labels they
    are compared by three criteria; higher is better:

    \b
    shuffled        AUROC of held-out rows against the same rows with each column shuffled
    agreement       rank correlation of held-out scores with those of the other seeds
    generalisation  mean training score / mean held-out score

    They do not replace labels: they show which fits failed or are unstable, and less reliably which is best.
    """
    check_label(label, normal)
    if (test is not None and label is None) or (by == "auroc" and test is None):
        raise click.UsageError("--test needs --label and --normal, and --by auroc needs --test.")
    import pyarrow as pa

    from tollad import metrics, plots
    from tollad.cli.card import aligned
    from tollad.detector.results import labels_and_scores, score_blocks
    from tollad.detector.sweep import averaged, best_of, records
    from tollad.detector.sweep import sweep as fit_all
    from tollad.io.dialect import Dialect
    from tollad.io.outputs import check_different_files, check_output, check_table_output, write_tables
    from tollad.io.training import read_training_rows

    check_different_files(output, plot, model, read=tuple(filter(None, (train, test))))
    check_kinds(model=model, folder=checkpoint)
    if output is not None:
        check_table_output(output, overwrite=force)
    for path in filter(None, (plot, model)):
        check_output(path, overwrite=force)
    if plot is not None:
        plots.picture_format(plot)
    training = read_training_rows(
        train,
        kinds=parameters.pop("columns"),
        max_gib=max_gib,
        header=header is not False,
        label=label,
        normal=normal,
        drop=drop,
        key=key,
        dialect=Dialect().changed(**written),
    )
    with resumable(checkpoint), calling(jobs, address) as each:
        found = fit_all(
            training.rows,
            betas=betas,
            latent_dims=latent_dims,
            seeds=range(seeds),
            say=tell,
            each=each,
            checkpoint=checkpoint,
            columns=training.columns,
            **parameters,
        )
    if test is not None:
        for one in found:
            one.detector.source_ = training.source
            blocks = score_blocks(
                one.detector, test, column=label, header=header, key=key, written=written, max_gib=max_gib
            )
            labels, scores = labels_and_scores(blocks, test, str(label), normal)
            one.criteria["auroc"] = metrics.auroc(labels, scores)
            one.criteria["average_precision"] = metrics.average_precision(labels, scores)
    chosen = by or ("auroc" if test is not None else "shuffled")
    best = best_of(found, chosen)
    if output is not None:
        write_tables(output, [pa.Table.from_pylist(records(found))], overwrite=force)
    if plot is not None:
        plots.sweep_criteria(found, plot, overwrite=force)
    if model is not None:
        best.detector.save(model, source=training.source, overwrite=force)
    result = {"by": chosen, "best": records([best])[0], "model": model, "fits": records(found)}
    shown = f"beta {best.beta:g}, latent_dim {best.latent_dim}, random_state {best.random_state} by {chosen}"
    lines = aligned({"best": shown, "model": model or "not saved"})
    print_result(as_json, result, f"{averaged(found)}\n\n{lines}")


sweep.params += tuple(option for option in DETECTOR_OPTIONS if option.name not in _SWEPT)
