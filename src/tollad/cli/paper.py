"""The command ``tollad paper``: the paper's tables and figures, re-run and reported."""

from __future__ import annotations

import math
import os
from typing import Any

import click

from tollad.cli.many import calling
from tollad.cli.numbers import Integer, Number
from tollad.cli.shared import jobs_option, ray_option
from tollad.cli.terminal import say
from tollad.warn import tell

_MOST_SEEDS = 1_000_000


def _seeds(ctx: click.Context, param: click.Parameter, text: str | None) -> list[int] | None:
    """Read "0-9", "3" or "0,2,4-6"."""
    if text is None:
        return None
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or int(last or first) < int(first):
            raise click.BadParameter(f"{text!r} is no range of seeds; give 3, 0-9 or 0,2,4-6.")
        if int(last or first) >= _MOST_SEEDS:
            raise click.BadParameter(f"{text!r} goes beyond {_MOST_SEEDS - 1:,}; no table has so many seeds.")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def _existing(ctx: click.Context, param: click.Parameter, folder: str) -> str:
    """Check a folder of results to read; the default one may be missing before the first run."""
    if not os.path.isdir(folder) and (folder != param.default or os.path.exists(folder)):
        raise click.BadParameter(f"{folder} is no folder; give the one that `tollad paper run` writes to.")
    return folder


_RESULTS: dict[str, Any] = {
    "default": "results",
    "show_default": True,
    "metavar": "DIR",
    "help": "Folder of the results.",
}
# What a report is to be, by its form, and the endings that its file may have.
_REPORTS = {
    "md": ("a report in Markdown", ".md", ".txt"),
    "csv": ("a report as CSV", ".csv", ".txt"),
    "html": ("a report in HTML", ".html", ".htm"),
}
_results_option = click.option("--results", "folder", callback=_existing, **_RESULTS)
_COUNT = Integer(1, 2**31)


@click.group()
def paper() -> None:
    """Run the tables and figures of the paper again, and report them beside the published values."""


@paper.command("list")
@click.argument("table", required=False)
def list_tables(table: str | None) -> None:
    """List the tables with their number of runs; or the methods of TABLE, and how long each takes."""
    from tollad.bench.tables import names, read_table

    if table is not None:
        found = read_table(table)
        width = max(len(method.name) for method in found.methods)
        for method in found.methods:
            kind = method.work
            cost = "quoted only" if kind is None else kind.cost(method.own, found.run["dataset"])
            say(f"{method.name:<{width}} {cost}")
        return
    width = max(map(len, names()))
    for name in names():
        found = read_table(name)
        work = found.work() if any(method.is_measured for method in found.methods) else []
        n_runs = sum(item.stacks for item in work)
        counts = ", ".join(
            f"{n} {what}{'s' * (n != 1)}"
            for n, what in ((len(found.methods), "method"), (len(found.cells), "cell"), (n_runs, "run"))
        )
        say(f"{name:<{width}} {found.title}: {counts}")


@paper.command()
@click.argument("table")
@click.option("--normal", multiple=True, metavar="CELL", help="A cell: its name or normal class; may repeat.")
@click.option("--method", multiple=True, metavar="NAME", help="A method of the table; may repeat.  [default: all]")
@click.option("--seeds", callback=_seeds, metavar="N-M", help="Seeds, such as 0-9, 3 or 0,2.  [default: the table's]")
@click.option("--steps", type=_COUNT, metavar="N", help="Another number of steps: another run.")
@click.option("--validate-every", type=_COUNT, metavar="N", help="Steps between two validations.")
@click.option("--batch-size", type=_COUNT, metavar="N", help="Another batch size: another run.")
@click.option(
    "--budget",
    type=click.Choice(["published", "reduced"]),
    default="published",
    show_default=True,
    help="Recipe of the methods that the paper quotes: of their source, or minutes.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "tf32", "bf16"]),
    default="float32",
    show_default=True,
    help="Of the products; each is another run.",
)
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, cuda:1, ...")
@click.option("--threads", type=Integer(1, 1024), default=1, show_default=True, metavar="N", help="Of a CPU.")
@click.option("--members", type=_COUNT, metavar="N", help="Runs trained together.  [default: as measured]")
@click.option(
    "--dry-run", is_flag=True, help="Measure some steps, alone and together, and say how long all would take."
)
@click.option("--missing", is_flag=True, help="Run only what has no result; several processes can share the work.")
@click.option(
    "--max-minutes",
    type=Number(0),
    default=math.inf,
    metavar="M",
    help="Stop then; the same command with --missing goes on.",
)
@jobs_option
@ray_option
@click.option("--scratch", metavar="DIR", help="Folder for the state of runs in flight.  [default: the user's cache]")
@click.option("--results", "folder", **_RESULTS)
def run(
    table: str,
    normal: tuple[str, ...],
    method: tuple[str, ...],
    seeds: list[int] | None,
    steps: int | None,
    validate_every: int | None,
    batch_size: int | None,
    budget: str,
    precision: str,
    device: str,
    threads: int,
    members: int | None,
    dry_run: bool,
    missing: bool,
    max_minutes: float,
    jobs: int | None,
    address: str | None,
    scratch: str | None,
    folder: str,
) -> None:
    """Run TABLE, or some of its cells and seeds.

    Prints first how long this is going to take. Runs that have a result are repeated, unless --missing is given. After
    an interruption, the same command with --missing resumes from the last save, at most a minute before. Exits with 1
    if a run failed.
    """
    from pathlib import Path

    import torch

    from tollad.bench import machine
    from tollad.bench.projection import project
    from tollad.bench.results import Results
    from tollad.bench.runner import carry_out, default_scratch
    from tollad.bench.tables import read_table
    from tollad.calls import one_by_one
    from tollad.training.build import find_device

    torch.set_num_threads(threads)
    changed = {"steps": steps, "validate_every": validate_every, "batch_size": batch_size, "precision": precision}
    work = read_table(table).work(
        normal=normal or None,
        methods=method or None,
        seeds=seeds,
        overrides={name: value for name, value in changed.items() if value is not None},
        budget=budget,
    )
    found = find_device(device)
    for used in {item.precision for item in work}:
        machine.warn_if_slow(found, used)
    place = default_scratch() if scratch is None else Path(scratch)
    results = Results(folder)
    show = say if dry_run else tell
    for line in project(work, results, found, scratch=place, missing=missing, n_members=members, compare=dry_run):
        show(line)
    if dry_run:
        return
    with calling(jobs, address) as each:
        outcome = carry_out(
            work,
            results,
            found,
            scratch=place,
            missing=missing,
            n_members=members,
            max_minutes=max_minutes,
            say=tell,
            each=None if each is one_by_one else each,
        )
    if outcome.n_failed:
        raise click.ClickException(f"{outcome.n_failed} of {len(work)} runs failed; why is above and with the results.")
    say("done" if outcome.done else "not all is done; the same command with --missing goes on")


@paper.command()
@click.argument("table", required=False)
@click.option("--format", "form", type=click.Choice(["md", "csv", "html", "png"]), default="md", show_default=True)
@click.option("-o", "--output", metavar="FILE", help="Where to write.  [default: standard output; png needs a file]")
@_results_option
def report(table: str | None, form: str, output: str | None, folder: str) -> None:
    """Report TABLE, or all tables: measured values beside published ones."""
    from tollad.bench import rendering
    from tollad.bench.report import collect
    from tollad.bench.results import Results
    from tollad.bench.tables import names, read_table

    rows = list(Results(folder))
    found = [collect(read_table(name), rows) for name in (names() if table is None else [table])]
    if form == "png":
        if table is None or output is None:
            raise click.UsageError("A picture is of one TABLE, and needs --output.")
        from tollad.plots.bench import draw_report

        draw_report(found[0], output)
        return
    markdown = rendering.to_page if table is None else rendering.to_markdown
    writers = {"md": markdown, "csv": rendering.to_csv, "html": rendering.to_html}
    _write(writers[form](found), output, form)


@paper.command()
@click.option("-o", "--output", metavar="FILE", help="Where to write.  [default: standard output]")
@_results_option
def compare(output: str | None, folder: str) -> None:
    """Compare the methods that the paper quotes, measured and published, as Markdown."""
    from tollad.bench.comparison import to_page
    from tollad.bench.results import Results
    from tollad.bench.tables import names, read_table

    _write(to_page(map(read_table, names()), list(Results(folder))), output, "md")


def _write(text: str, output: str | None, form: str) -> None:
    from tollad.io import files
    from tollad.io.outputs import check_ending

    if output is None:
        say(text, end="")
        return
    check_ending(output, *_REPORTS[form])
    with files.atomic_write(output) as file:
        file.write(text.encode())


@paper.command()
@click.argument("what", type=click.Choice(["figure2", "figure4", "curves", "collapse"]))
@click.option("-o", "--output", metavar="FILE", help="The picture.  [default: WHAT.png]")
@click.option("--table", metavar="TABLE", help="Whose curves to draw; for figure4 another table like it.")
@click.option("--normal", multiple=True, metavar="CELL", help="A cell to draw; may repeat.  [default: all]")
@_results_option
def plot(what: str, output: str | None, table: str | None, normal: tuple[str, ...], folder: str) -> None:
    """Draw Figure 2, which is computed now; or from results: Figure 4, the validation curves of a table, or the effect
    of the collapse term in other methods."""
    if what in ("figure2", "collapse") and (table or normal):
        raise click.UsageError(f"{what} does not belong to one table; leave out --table and --normal.")
    path = output or f"{what}.png"
    if what == "figure2":
        from tollad import theory
        from tollad.plots import theory as figures

        figures.draw_figure2(theory.figure2(), path)
        return
    from tollad.bench.results import Results
    from tollad.bench.tables import names, read_table
    from tollad.plots.bench import draw_by_beta, draw_collapse_effect, draw_curves

    if what == "collapse":
        draw_collapse_effect(map(read_table, names()), Results(folder), path)
        return
    if what == "curves" and table is None:
        raise click.UsageError("--table is missing: the table whose curves to draw.")
    draw = draw_curves if what == "curves" else draw_by_beta
    draw(read_table(table or "figure4"), Results(folder), path, normal or None)
