"""Work that is many independent calls: here, by processes, or by a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tollad.cli.shared import check_kinds, print_result

if TYPE_CHECKING:
    from tollad.calls import Each
    from tollad.cli.asked import ScoreOptions


@contextmanager
def calling(jobs: int | None, address: str | None) -> Iterator[Each]:
    """Yield what carries out the calls: this process, several processes, or a Ray cluster."""
    from tollad.calls import one_by_one, processes

    if jobs is not None and address is not None:
        raise click.UsageError("--jobs is for processes of this machine, --ray for a cluster; give one of them.")
    if address is not None:
        from tollad.scale.cluster import cluster

        with cluster(address) as each:
            yield each
    elif jobs is not None and jobs > 1:
        with processes(jobs) as each:
            yield each
    else:
        yield one_by_one


def score(asked: ScoreOptions) -> None:
    """Write a part for each file, and say what was done."""
    if asked.needs_model():
        raise click.UsageError("Many files get scores, verdicts and reasons; score them one by one for other options.")
    if not asked.output.endswith("/"):
        raise click.UsageError("--jobs and --ray are for many files: give a folder of their scores, as -o FOLDER/.")
    if asked.force:
        raise click.UsageError("--force replaces files; give another folder, or remove this one.")
    check_kinds(folder=asked.output)
    from tollad.io.places import matching
    from tollad.scale.parts import Asked, score_files
    from tollad.serve.runtime import is_onnx

    if is_onnx(asked.model):
        raise click.UsageError("Many files are scored by the model itself; an ONNX file scores single ones.")
    files = matching(asked.data)
    how = Asked(
        asked.moved,
        **asked.reading,
        written=asked.written,
        max_gib=asked.max_gib,
        only_anomalies=asked.only_anomalies,
        n_reasons=asked.n_reasons,
    )
    with calling(asked.jobs, asked.address) as each:
        done = score_files(asked.model, files, asked.output, how, each)
    kept = f", {done.n_kept:,} kept" if done.n_kept else ""
    text = f"{done.n_written:,} parts written{kept}: {done.n_rows:,} rows, {done.n_anomalies:,} anomalies"
    print_result(asked.as_json, {"folder": asked.output, **asdict(done)}, text)
