"""The commands ``tollad data list``, ``fetch``, ``verify`` and ``split``; each imports what it needs when it runs."""

from __future__ import annotations

import json
from typing import Any

import click

from tollad.cli.shared import json_option
from tollad.cli.terminal import say


@click.group()
def data() -> None:
    """Download, check and describe the benchmark data sets.

    They are in the folder that TOLLAD_DATA names, else in the cache folder of the user.
    """


@data.command("list")
@json_option
def list_sets(as_json: bool) -> None:
    """List the sets, and whether they are there."""
    from tollad.datasets.catalogue import CATALOGUE, find
    from tollad.datasets.files import data_dir

    known: dict[str, dict[str, Any]] = {}
    for name, block in CATALOGUE.items():
        found = sum(find(name, file) is not None for file in block.files)
        known[name] = {
            "title": block.title,
            "state": "absent" if not found else "incomplete" if found < len(block.files) else "there",
            "rows": {part: content.n_rows for part, content in block.splits.items()},
        }
    if as_json:
        say(json.dumps({"folder": str(data_dir()), "sets": known}, indent=2))
        return
    for name, entry in known.items():
        rows = ", ".join(f"{part} {n_rows}" for part, n_rows in entry["rows"].items())
        say(f"{name:<14} {entry['state']:<11} {entry['title']:<14} {rows}")
    say(f"in {data_dir()}")


@data.command()
@click.argument("name")
def fetch(name: str) -> None:
    """Download the set NAME from its authors, and check it.

    Nothing is downloaded if the set is there and intact.
    """
    from tollad.datasets import fetch as downloads

    say(f"{name} is in {downloads.fetch(name)}")


@data.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@json_option
def verify(names: tuple[str, ...], as_json: bool) -> None:
    """Compare the sets NAME with their authors' files, byte by byte after decompression.

    Without NAME, all sets of which there is a file.
    """
    from tollad.datasets.catalogue import CATALOGUE, find
    from tollad.datasets.fetch import verify as states_of
    from tollad.datasets.files import data_dir

    chosen = names or [name for name, block in CATALOGUE.items() if any(find(name, file) for file in block.files)]
    if not chosen:
        raise FileNotFoundError(
            f"there is no data set in {data_dir()}; get one by `tollad data fetch NAME`, NAME being "
            f"{', '.join(CATALOGUE)}, or let TOLLAD_DATA name another folder"
        )
    states = {name: states_of(name) for name in chosen}
    if as_json:
        say(json.dumps(states, indent=2))
    else:
        for name, files in states.items():
            for file, state in files.items():
                say(f"{name}/{file}: {state}")
    if bad := [name for name, files in states.items() if set(files.values()) != {"ok"}]:
        raise ValueError(f"not intact: {', '.join(bad)}; get it again by `tollad data fetch {bad[0]}`")


@data.command()
@click.argument("name")
def split(name: str) -> None:
    """Print how the set NAME is split: sizes and SHA-256 of the indices, as JSON."""
    from tollad.bench import splits

    say(json.dumps(splits.split(name), indent=2))
