"""How the file of a fit was read, kept in the model file; and what a model expects of later files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from tollad.io.dialect import Dialect
from tollad.io.pictures import Shaping
from tollad.tables.schema import Column


@dataclass(frozen=True)
class Source:
    """The file of a fit, and how it was read.

    Attributes
    ----------
    name : str
        Name of the file, without its folder.
    n_read, n_used : int
        Number of rows in the file, and of rows that were trained on.
    header : bool, default True
        Whether the first line of a text file held the names of the columns.
    label : str or None
        The column of labels that said which rows are normal.
    normal : tuple of str
        The values of the label that mean normal.
    drop : tuple of str
        Columns that are no features.
    images : dict or None
        How images are brought into one form, see `tollad.io.pictures.Shaping.to_json`.
    words : tuple of str
        Columns of true and false.
    dialect : dict
        How the text of the file was written, see `tollad.io.dialect.Dialect.to_json`.
    """

    name: str
    n_read: int
    n_used: int
    header: bool = True
    label: str | None = None
    normal: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    images: dict[str, Any] | None = None
    words: tuple[str, ...] = ()
    dialect: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Return the source from a record of `to_json`; ValueError or TypeError if it is not valid."""
        lists = {name: tuple(record[name]) for name in ("normal", "drop", "words") if name in record}
        self = cls(**{**record, **lists})
        texts = (self.name, *self.normal, *self.drop, *self.words, *([] if self.label is None else [self.label]))
        if not all(isinstance(text, str) for text in texts) or not isinstance(self.header, bool):
            raise TypeError("the record of the source holds other values than text")
        if not all(type(n) is int and n >= 0 for n in (self.n_read, self.n_used)):
            raise TypeError("the record of the source holds no numbers of rows")
        Dialect.from_json(self.dialect)
        if self.images is not None:
            Shaping.from_json(self.images)
        return self

    @classmethod
    def of_version_1(cls, notes: Mapping[str, Any]) -> Self | None:
        """Return the source from the notes of a file of version 1; None if they have none."""
        if not {"source", "n_read", "n_used"} <= notes.keys():
            return None
        known = ("n_read", "n_used", "header", "label", "images", "dialect")
        lists = {key: notes.get(key, ()) for key in ("normal", "drop")}
        return cls.from_json({"name": notes["source"], **lists} | {key: notes[key] for key in known if key in notes})


def notes_and_source(metadata: Mapping[str, Any]) -> tuple[dict[str, Any], Source | None]:
    """Return the notes of the user, and the source. In files of version 1, the source is among the notes."""
    notes = dict(metadata["notes"])
    if "source" in metadata:
        return notes, None if metadata["source"] is None else Source.from_json(metadata["source"])
    source = Source.of_version_1(notes)
    return (notes, None) if source is None else ({}, source)


@dataclass(frozen=True)
class Expected:
    """What a model expects of a file to be scored.

    Attributes
    ----------
    shape : tuple of int
        Shape of a row: (d,) in a table, (C, H, W) for images.
    columns : tuple of Column
        Columns of a table, in any order. Those of the kind "drop" may be missing in the file.
    named : bool, default True
        Whether the model takes a table with these names. If not, it takes an array of numbers.
    ignored : frozenset of str, default none
        Columns that are no features and may be in the file or not, such as the label.
    header : bool, default True
        Whether the first line of a text file holds the names.
    images : Shaping or None
        How images are brought into one form; None if the model was not fitted on files of images.
    dialect : Dialect
        How text was written at fit.
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
        """The columns that the file must have."""
        return [column.name for column in self.columns if column.kind != "drop"]

    @classmethod
    def after(
        cls, source: Source | None, *, shape: tuple[int, ...], columns: tuple[Column, ...], named: bool
    ) -> Expected:
        """Return what a model expects after a fit on the file of `source`; it is None for a fit from Python."""
        known = source or Source("", 0, 0)
        return cls(
            shape,
            columns,
            named,
            ignored=frozenset({*known.drop, *([] if known.label is None else [known.label])}),
            header=known.header,
            images=None if known.images is None else Shaping.from_json(known.images),
            dialect=Dialect.from_json(known.dialect),
        )
