"""The time zone of a column of dates, learnt block by block."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from tollad.tables.schema import AS_WRITTEN, Column, Where
from tollad.tables.times import has_zone, offsets, zone_of_type


class Zones:
    """The zones of the times of one column, of which all or none must have one.

    Examples
    --------
    >>> zones = Zones()
    >>> zones.add(pa.chunked_array([["2024-01-01 12:00+01:00", "2024-07-01 12:00+02:00"]]).cast("large_string"), str)
    >>> column = zones.column("when")
    >>> column.zone, column.offsets
    ('as written', (60, 120))
    """

    def __init__(self) -> None:
        self._of_type = ""
        self._offsets: list[float] = []  # from UTC, the lowest and the highest, in minutes
        self._n_times = 0
        # By whether it has a zone: number and place of the first such time.
        self._first: dict[bool, tuple[int, str]] = {}

    def add(self, values: pa.ChunkedArray, where: Where) -> None:
        """Take the next times. `where` maps the number of one among them, from 0, to the words for its place."""
        with_zone = has_zone(values)
        for zoned in {True, False} - self._first.keys():
            row = pc.index(with_zone, zoned).as_py()
            if row >= 0:
                self._first[zoned] = self._n_times + row, where(row)
        self._n_times += len(values)
        self._of_type = self._of_type or zone_of_type(values)
        if True in self._first:
            minutes = [*self._offsets, *offsets(values.filter(with_zone.fill_null(False)))]
            self._offsets = [min(minutes), max(minutes)] if minutes else []

    def column(self, name: str) -> Column:
        """Return a column of dates with the zone; ValueError if some times have one and others have none."""
        if len(self._first) == 2:
            zoned, (_, where) = max(self._first.items(), key=lambda item: item[1][0])
            has, others = ("a", "none") if zoned else ("no", "one")
            raise ValueError(
                f"{where}, column {name!r}: the time has {has} time zone, but times above have {others}; give all of "
                "them with a zone, or all without"
            )
        if self._of_type or not any(self._first):
            return Column(name, "date", zone=self._of_type)
        lowest, highest = map(round, self._offsets)
        if lowest == highest == 0:
            return Column(name, "date", zone="UTC")
        return Column(name, "date", zone=AS_WRITTEN, offsets=(lowest, highest))
