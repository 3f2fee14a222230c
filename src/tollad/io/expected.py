"""What a model expects of a file, handed to the readers as plain values: they know no detector."""

from __future__ import annotations

from dataclasses import dataclass, field

from tollad.io.dialect import Dialect
from tollad.io.pictures import Shaping
from tollad.tables.schema import Column


@dataclass(frozen=True)
class Expected:
    """What the rows of a file have to be.

    Attributes
    ----------
    shape : tuple of int
        Of a row: (d,) of a table, (C, H, W) of images.
    columns : tuple of Column
        Of a table, in any order; those of the kind "drop" may be in the file or not.
    named : bool, default True
        Whether the model takes a table with these names; else it takes an array of numbers.
    ignored : frozenset of str, default none
        Columns that are no features and may be in the file or not, such as the label.
    header : bool, default True
        Whether the first line of a text file holds the names.
    images : Shaping or None
        How images are brought into one form; None: the model knows no images.
    dialect : Dialect
        How text was written at fit, and is ever after.
    """

    shape: tuple[int, ...]
    columns: tuple[Column, ...] = ()
    named: bool = True
    ignored: frozenset[str] = frozenset()
    header: bool = True
    images: Shaping | None = None
    dialect: Dialect = field(default_factory=Dialect)

    @property
    def names(self) -> list[str]:
        """The columns that have to be in the file."""
        return [column.name for column in self.columns if column.kind != "drop"]
