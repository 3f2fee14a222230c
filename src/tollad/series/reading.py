"""Reading files as series: a row is a time step of one series, or of several that a column names."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from tollad.io.blocks import Block, resolve_column
from tollad.io.dialect import Dialect
from tollad.io.inputs import check_columns, readable, rows_of, without_rows
from tollad.io.labels import labelled
from tollad.io.records import standard_input
from tollad.io.skipped import Reject
from tollad.io.source import Source
from tollad.io.sources import TableSource, open_table, read_table, warn_of_lost_row
from tollad.series.clock import Clock
from tollad.series.gaps import Gaps
from tollad.series.steps import from_block, groups_of
from tollad.tables.schema import Column
from tollad.warn import listed

if TYPE_CHECKING:
    from tollad.series.fitting import TrainingSteps
    from tollad.series.model import SeriesModel

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class TrainingSeries:
    """A file to fit a detector on.

    Attributes
    ----------
    part : TrainingSteps
        Its time steps, and which of them to learn from.
    group : str or None
        The column that names the series of a row, if there are several.
    source : Source
        How the file was read, to be kept with the model.
    """

    part: TrainingSteps
    group: str | None
    source: Source


def read_training_series(
    path: str,
    *,
    header: bool = True,
    key: str | None = None,
    label: str | None = None,
    normal: Sequence[str] = (),
    drop: Sequence[str] = (),
    time: str | None = None,
    zone: str | None = None,
    group: str | None = None,
    gaps: Gaps | None = None,
    dialect: Dialect | None = None,
    reject: Reject | None = None,
) -> TrainingSeries:
    """Read a file of one or several series to fit a detector, all into memory.

    Parameters
    ----------
    path, header, key, label, normal, drop, dialect
        As in `tollad.io.training.read_training_rows`.
    time : str, optional
        The column of the time stamps: numbers or dates, ascending within each series. It is no feature.
    zone, gaps
        As `time_zone` and `gaps` of `SeriesDetector`.
    group : str, optional
        The column that names the series of a row, if there are several. It is no feature.
    reject : callable, optional
        Called for each row that cannot be read or whose time stamp does not ascend, which is then left out. By default
        such a row is an error.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read, a column is unknown, a value is missing or no number, or time stamps do not ascend.

    Warns
    -----
    UserWarning
        For a gap in the time stamps.
    """
    source = open_table(path, header=header, key=key, dialect=dialect, reject=reject)
    warn_of_lost_row(source)
    label, time, group = (
        None if name is None else resolve_column(source.path, source.names, name) for name in (label, time, group)
    )
    drop = [resolve_column(source.path, source.names, name) for name in drop]
    names = [name for name in source.names if name not in (label, time, group, *drop, *source.index)]
    if not names:
        raise ValueError(f"{source.path}: no column is left to learn from; drop fewer columns")
    block = read_table(source)
    n_read = len(block)
    if time is not None:
        source.learn_dates([time], block.table)
    if reject is not None:
        clock = None if time is None else Clock.begun(block, time, zone)
        block = in_order(block, names, clock, group, reject, lacks=gaps in ("split", "interpolate"))
    remedy = "correct it, or leave the column out"
    if time is None:
        remedy += ", or give it as time if it holds time stamps"
    if group is None:
        remedy += ", or give it as group if it says which series a row is of"
    steps = from_block(block, names, time, group, gaps=gaps, zone=zone, remedy=remedy)
    kept = labelled(block, label, normal)
    record = Source(
        PurePath(source.path).name,
        n_read,
        int(kept.sum()),
        header,
        label,
        tuple(normal),
        tuple(drop),
        dialect=source.dialect.to_json(),
    )
    from tollad.series.fitting import TrainingSteps  # imports torch, which scoring by a graph does without

    return TrainingSeries(TrainingSteps(steps, kept, source.path), group, record)


def check_alike(files: Sequence[TrainingSeries]) -> None:
    """Raise ValueError unless all files of series have the same columns."""
    first = files[0].part
    for file in files[1:]:
        if file.part.steps.names != first.steps.names:
            raise ValueError(
                f"{file.part.path}: has the columns {listed(file.part.steps.names)}, and {first.path} has "
                f"{listed(first.steps.names)}; give files with the same columns in the same order"
            )


def in_order(
    block: Block,
    names: Sequence[str],
    clock: Clock | None,
    group: str | None,
    reject: Reject,
    *,
    lacks: bool,
    clocks: Mapping[str | None, Clock] | None = None,
    any_read: bool = False,
) -> Block:
    """Return the rows of a block that can be read and whose time stamps ascend within their group.

    Parameters
    ----------
    block : Block
    names : sequence of str
        The channels.
    clock : Clock or None
        The clock of a new series.
    group : str or None
    reject : callable
        Called for each of the other rows.
    lacks : bool
        Whether values may be missing.
    clocks : mapping of str or None to Clock, optional
        Clocks of the series so far.
    any_read : bool, default False
        Whether rows were read before. If not, and no row of the block can be read, the first of them is an error.
    """
    time = [] if clock is None or clock.column is None else [Column(clock.column, clock.kind)]
    columns = [*(Column(name, "number") for name in names), *time]
    block = readable(block, columns, [column.name for column in columns], reject, any_read=any_read)
    bad: dict[int, str] = {}
    if not lacks:
        for name in names:
            for row in np.flatnonzero(block.table[name].is_null().to_numpy()).tolist():
                bad.setdefault(row, f"column {name!r}: the value is missing")
    if clock is not None and len(block):
        for one, rows in rows_by_group(block, group):
            of_group = (clocks or {}).get(one) or clock.anew()
            found = of_group.disordered(rows_of(block, rows))
            bad = {int(rows[row]): why for row, why in found.items()} | bad
    return without_rows(block, dict(sorted(bad.items())), reject)


def rows_by_group(block: Block, group: str | None) -> Iterator[tuple[str | None, NDArray[np.int64]]]:
    """Yield each group of a block with its rows, in order of first appearance; None for a single series."""
    if group is None:
        yield None, np.arange(len(block))
        return
    coded = groups_of(block, group).dictionary_encode()
    codes = coded.indices.to_numpy()
    for code, name in enumerate(coded.dictionary.to_pylist()):
        yield name, np.flatnonzero(codes == code)


def normal_part(
    model: SeriesModel,
    path: str,
    *,
    header: bool | None = None,
    key: str | None = None,
    label: str | None = None,
    normal: Sequence[str] = (),
    drop: Sequence[str] = (),
    dialect: Dialect | None = None,
) -> TrainingSteps:
    """Return the time steps of a file, and which of them are labelled normal; by default all.

    Raises
    ------
    ValueError, OSError
        If the file cannot be read or is not like that of the fit.
    """
    source = open_like_fit(model, path, header, key, [] if label is None else [label], dialect, drop=drop)
    block = read_table(source)
    kept = labelled(block, None if label is None else resolve_column(source.path, source.names, label), normal)
    time, clock = model.clock.column, model.clock.anew()
    steps = from_block(block, model.columns, time, model.group, gaps=model.gaps, clock=clock)
    from tollad.series.fitting import TrainingSteps  # imports torch, which scoring by a graph does without

    return TrainingSteps(steps, kept, source.path)


class LiveTable:
    """Text on standard input, in blocks of the rows that have arrived: no row waits for later ones."""

    path = "standard input"

    def __init__(
        self,
        model: SeriesModel,
        header: bool | None,
        dialect: Dialect | None,
        reject: Reject | None = None,
        asked: Sequence[str] = (),
        drop: Sequence[str] = (),
    ) -> None:
        self._model, self._dialect, self._reject, self._asked, self._drop = model, dialect, reject, asked, drop
        self._header = model.read_as.header if header is None else header
        self._given = cast(io.BufferedReader, standard_input())
        self._first = self._given.readline() if self._header else b""

    def __iter__(self) -> Iterator[Block]:
        n_lines, rest = int(self._header), b""
        while chunk := self._given.read1(_CHUNK_BYTES):
            lines, line_break, rest = (rest + chunk).rpartition(b"\n")
            if line_break:
                yield from self._blocks(lines + line_break, n_lines)
                n_lines += lines.count(b"\n") + 1
        if rest.strip():
            yield from self._blocks(rest, n_lines)

    def _blocks(self, lines: bytes, n_before: int) -> Iterator[Block]:
        """Read complete lines as a table, and number them."""
        moved = n_before - int(self._header)
        if not lines.strip():
            return
        given = io.BytesIO(self._first + lines)

        def moved_reject(number: int, line: int | None, reason: str, text: str) -> None:
            assert self._reject is not None
            self._reject(number + moved, None if line is None else line + moved, reason, text)

        reject = None if self._reject is None else moved_reject
        try:
            source = open_like_fit(
                self._model, "-", self._header, None, self._asked, self._dialect, given, reject, self._drop
            )
            for block in source:
                assert block.lines is not None
                numbers = None if block.numbers is None else block.numbers + moved
                yield replace(block, first_row=block.first_row + moved, lines=block.lines + moved, numbers=numbers)
        except ValueError as error:
            place = re.compile("(?<=standard input, line )[0-9]+")
            raise ValueError(place.sub(lambda found: str(int(found[0]) + moved), str(error), count=1)) from None


def open_like_fit(
    model: SeriesModel,
    path: str,
    header: bool | None,
    key: str | None,
    asked: Sequence[str],
    dialect: Dialect | None,
    spooled: BinaryIO | None = None,
    reject: Reject | None = None,
    drop: Sequence[str] = (),
) -> TableSource:
    """Open a file with the columns of the fit. Columns left out at the fit, and those `asked` for, may be there, too.

    `asked`, and `drop` for columns to leave out, have names, or negative numbers that count from the last column.
    """
    known, clock = model.read_as, model.clock
    header = known.header if header is None else header
    dialect = model.dialect if dialect is None else dialect
    source = open_table(path, header=header, key=key, dialect=dialect, spooled=spooled, reject=reject)
    time = [] if clock.column is None else [clock.column]
    group = [] if model.group is None else [model.group]
    fitted = [*model.columns, *time, *group]
    source = source.named_like(fitted)
    others = [resolve_column(source.path, source.names, name) for name in asked]
    check_columns(source, fitted, {*others, known.label, *known.drop}, drop)
    return source
