"""Files of tables, written and read as numbers, for the tests of `tollad.io`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tollad.io.blocks import Block
from tollad.io.sources import open_table, read_table
from tollad.tables.encode import encode
from tollad.tables.schema import Column


def write(path: Path, content: str | bytes) -> Path:
    """Write a file and return its path."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def to_numbers(block: Block, names) -> np.ndarray:
    """Return columns of a block as numbers."""
    return encode(block.table.select(names), [Column(name, "number") for name in names], where=block.where)


def numbers(path: Path | str, **options) -> np.ndarray:
    """Return a whole table as numbers."""
    block = read_table(open_table(path, **options))
    return to_numbers(block, block.names)


def fails(path: Path | str, *words: str, **options) -> None:
    """Reading the table as numbers must raise ONE line that holds the file's name and all the words."""
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        numbers(path, **options)
    assert type(caught.value) is ValueError
    name = "standard input" if path == "-" else Path(path).name
    for word in (name, *words):
        assert word in str(caught.value)
