"""Files that are damaged at random: each is read or refused in one sentence that names it, and none hangs."""

from __future__ import annotations

import gzip
import io
import signal
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from tollad.io.images import open_images
from tollad.io.training import read_training_rows

ROWS = np.random.default_rng(0).normal(size=(40, 3)).round(3)
TEXT = "when;größe;n\n" + "".join(f"{1 + k % 28}.3.2024;x{k % 3};{k / 7:.3f}\n" for k in range(40))
N_MUTATIONS = 500


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, ROWS)
    return file.getvalue()


def _npz(save: Callable[..., None]) -> bytes:
    file = io.BytesIO()
    save(file, rows=ROWS)
    return file.getvalue()


def _parquet() -> bytes:
    file = io.BytesIO()
    table = pa.table({"a": ROWS[:, 0], "b": [f"x{k % 3}" for k in range(40)], "c": pa.array(range(40), pa.date32())})
    parquet.write_table(table, file)
    return file.getvalue()


def _xlsx() -> bytes:
    openpyxl = pytest.importorskip("openpyxl")
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in [["a", "b", "c"], *ROWS.tolist()]:
        book.active.append(row)
    book.save(file)
    plain = io.BytesIO()  # stored, so that a changed byte is a changed sheet and not a broken archive
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(plain, "w") as target:
        for member in source.namelist():
            target.writestr(member, source.read(member))
    return plain.getvalue()


def _image(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray((ROWS[:20] * 40 + 120).clip(0, 255).astype(np.uint8)).save(file, kind)
    return file.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "rows.npy": _npy,
    "stored.npz": lambda: _npz(np.savez),
    "deflated.npz": lambda: _npz(np.savez_compressed),
    "rows.csv": lambda: TEXT.encode(),
    "rows.tsv": lambda: TEXT.replace(";", "\t").encode("utf-16"),
    "rows.csv.gz": lambda: gzip.compress(TEXT.encode(), mtime=0),
    "rows.parquet": _parquet,
    "rows.xlsx": _xlsx,
    "rows.jsonl": lambda: "".join(f'{{"a": {k / 7}, "b": "x{k % 3}", "c": {k % 5}}}\n' for k in range(40)).encode(),
    "image.png": lambda: _image("png"),
    "image.jpg": lambda: _image("jpeg"),
}


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with one to four changes of the kinds that disks, networks and attackers make."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        place, length = int(rng.integers(0, len(changed) + 1)), int(rng.integers(1, 9))
        match int(rng.integers(0, 6)):
            case 0:
                changed[place : place + 1] = bytes([int(rng.integers(0, 256))])
            case 1:
                del changed[place:]
            case 2:
                changed[place:place] = rng.bytes(length)
            case 3:
                del changed[place : place + length]
            case 4:
                changed[place : place + length] = [b"\xff" * length, b"\0" * length][int(rng.integers(0, 2))]
            case 5:
                start = int(rng.integers(0, len(changed) + 1))
                changed[place:place] = changed[start : start + 20 * length]
    return bytes(changed)


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    def hang(*_: object) -> None:
        raise AssertionError("hangs")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read(path: Path) -> None:
    if path.suffix in (".png", ".jpg"):
        open_images(path.parent).take([0])
    else:
        read_training_rows(str(path), header=True, key=None, label=None, normal=(), drop=(), kinds=None)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_damaged_files(tmp_path, name):
    data, rng, outcomes = FILES[name](), np.random.default_rng(0), Counter[str]()
    path = tmp_path / name
    path.write_bytes(data)
    read(path)
    for number in range(N_MUTATIONS):
        path.write_bytes(mutated(data, rng))
        try:
            with at_most(20), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(path)
        except (ValueError, OSError, MemoryError) as error:
            message = str(error)
            # What is wrong with whole columns is said of all of them, a line each, and does not name the file.
            of_columns = message.startswith("column ") or "columns cannot be learnt from" in message
            is_clear = of_columns or (name in message and "\n" not in message)
            outcomes["refused" if is_clear else f"{number}: {error!r}"] += 1
        else:
            outcomes["read"] += 1
    print(name, dict(outcomes))  # for docs/robustness.md
    assert outcomes.keys() == {"read", "refused"}
