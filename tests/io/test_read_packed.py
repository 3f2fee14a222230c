"""Files that are refused before they are read: their size is told from the header, which is checked first."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tollad.io.packed import pack, read_packed

DATA = pack({"beta": 0.5}, {"weight": np.arange(6.0)})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "m.tollad"
    file.write_bytes(DATA)
    return file


def extended(path: Path, size: int) -> None:
    """Make a file longer by zeros, which take no space on the disk."""
    with open(path, "r+b") as file:
        file.truncate(size)


def test_is_what_was_packed(path: Path) -> None:
    metadata, tensors = read_packed(path)
    assert metadata == {"beta": 0.5}
    assert tensors["weight"].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("start", [b"", DATA, DATA[:-1], (5 << 30).to_bytes(8, "little") + DATA[8:]])
def test_gigabytes_of_zeros_take_no_memory(path: Path, start: bytes) -> None:
    path.write_bytes(start)
    extended(path, (5 << 30) + 8)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"m\.tollad (was altered|is not a tollad model file)"):
        read_packed(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(path: Path, number: str) -> None:
    """JSON as Python reads it knows them; a file that holds one is of somebody else."""
    data = pack({"beta": "@" * len(number)}, {}).replace(
        b'\\"' + b"@" * len(number) + b'\\"', number.encode() + b"    "
    )
    start = data.index(b"sha256") + len('sha256\\":\\"')
    blank = data[:start] + b"0" * 64 + data[start + 64 :]
    path.write_bytes(data[:start] + hashlib.sha256(blank).hexdigest().encode() + data[start + 64 :])
    with pytest.raises(ValueError, match="is not laid out as a tollad model file, though its digest is right"):
        read_packed(path)


def test_pinned_to_one_file(path: Path) -> None:
    digest = hashlib.sha256(DATA).hexdigest()
    for wanted in (digest, digest.upper()):
        assert read_packed(path, sha256=wanted)[0] == {"beta": 0.5}
    path.write_bytes(pack({"beta": 0.6}, {"weight": np.arange(6.0)}))  # whole, and with a digest that is right
    with pytest.raises(ValueError, match=r"m\.tollad is not the file that sha256= names: its SHA-256 is [0-9a-f]{64};"):
        read_packed(path, sha256=digest)
    with pytest.raises(ValueError, match="sha256 must be 64 hex digits"):
        read_packed(path, sha256="abc")
