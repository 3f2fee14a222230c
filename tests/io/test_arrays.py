"""NPY and NPZ files: nothing that a file says of its own size is believed, and every error names the file."""

from __future__ import annotations

import io
import os
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import fails, numbers, write

from tollad.io.arrays import read_array
from tollad.io.sources import open_table

ROWS = np.arange(12.0).reshape(4, 3)
FUZZ = settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def npy(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()


def header(shape: str, descr: str = "'<f8'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def archive(path: Path, content: bytes, name: str = "a.npy", method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr(name, content)
    return path


def refused(path: Path, words: str, **options) -> None:
    with pytest.raises(ValueError, match=rf"\A{path}: [^\n]*{words}[^\n]*\Z"):
        read_array(path, **options)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f8", ">f4", "i2", "?", "u8", "f2"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_arrays_come_back(tmp_path, order, dtype, version, method):
    array = np.asarray(ROWS.astype(dtype), order=order)
    (tmp_path / "a.npy").write_bytes(npy(array, version))
    archive(tmp_path / "a.npz", npy(array, version), method=method)
    for name in ("a.npy", "a.npz"):
        read = read_array(tmp_path / name)
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy(ROWS)[:-8], "88 of 96 bytes of the array are there"),
        (header(f"({2**63}, 2)"), "bytes of the array are there"),
        (header("(-4, 3)") + bytes(96), "damaged"),
        (header("(4, 3)", "'<q3'") + bytes(96), "damaged"),
        (header("(4, 3)", "'O'") + bytes(96), "Python objects"),
        (header("(4, 3)", "[('a', '<f8')]") + bytes(96), "save real numbers"),
        (b"\x93NUMPY\x07\x00" + bytes(100), "damaged"),
        (b"", "damaged"),
        (b"PK\x03\x04", "is no NP"),
        (npy(np.zeros(3)), "needs rows and columns"),
        (npy(np.zeros((0, 3))), "empty array"),
    ],
)
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_what_is_no_array(tmp_path, content, words, kind):
    path = tmp_path / f"rows.{kind}"
    if kind == "npy":
        path.write_bytes(content)
    else:
        archive(path, content)
    refused(path, words)


def test_what_is_compressed_in_another_way(tmp_path):
    refused(archive(tmp_path / "a.npz", npy(ROWS), method=zipfile.ZIP_BZIP2), "'a.npy' is compressed in an unknown way")


def test_what_is_encrypted(tmp_path):
    path = archive(tmp_path / "a.npz", npy(ROWS))
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    path.write_bytes(content)
    refused(path, "'a.npy' is encrypted")


def test_what_unpacks_to_too_much(tmp_path):
    """It is refused before a byte is unpacked, unless the limit is raised."""
    path = archive(tmp_path / "a.npz", header(f"({1 << 22}, 1)", "'<u1'") + bytes(1 << 22))
    assert path.stat().st_size < 10_000
    refused(path, "is unpacked to 0.00391 GiB, and 0.001 is the limit; .* max_gib=1", max_gib=0.001)
    assert read_array(path).shape == (1 << 22, 1)


def test_a_size_that_cannot_be(tmp_path):
    """A small archive that says it holds a gigabyte takes no memory."""
    path = archive(tmp_path / "a.npz", npy(ROWS))
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02") + 24
    content[place : place + 4] = struct.pack("<I", 1 << 29)
    path.write_bytes(content)
    refused(path, "'a.npy' cannot be as large as the archive says")


def test_members_that_are_no_arrays(tmp_path):
    refused(archive(tmp_path / "a.npz", b"text", "a.txt"), "holds no arrays")
    np.savez(tmp_path / "b.npz", one=ROWS, two=ROWS)
    refused(tmp_path / "b.npz", "holds several arrays; choose one, as in key='one', of 'one', 'two'")
    refused(tmp_path / "b.npz", "holds no array 'three'", key="three")


def test_an_array_that_changes_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "d.npy"
    np.save(path, np.zeros((40, 3)))
    blocks = iter(open_table(path, block_rows=10))
    next(blocks)
    np.save(path, np.ones((40, 3)))
    os.utime(path, ns=(0, 0))  # whatever the clock of the disk is
    with pytest.raises(ValueError, match=r"d\.npy: changed while it was read; read it when nothing writes to it"):
        list(blocks)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8", "g", "i1", ">i4", "u8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_matrices_are_tables(tmp_path, dtype, order):
    array = np.asarray(np.arange(14).reshape(7, 2) % 5, dtype=dtype, order=order)
    np.save(tmp_path / "data.npy", array)
    np.savez(tmp_path / "data.npz", array)
    for name in ("data.npy", "data.npz"):
        table = open_table(tmp_path / name, block_rows=3)
        assert table.names == ("x1", "x2")
        assert [len(block) for block in table] == [3, 3, 1]
        np.testing.assert_array_equal(numbers(tmp_path / name), array.astype(float))


def test_infinite_values_of_a_matrix(tmp_path):
    np.save(tmp_path / "data.npy", [[1, 2], [3, np.inf]])
    fails(tmp_path / "data.npy", "row 2", "column 'x2'", "infinite")


def test_images_are_mapped_not_read(tmp_path):
    images = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    np.save(tmp_path / "images.npy", images)
    np.savez_compressed(tmp_path / "images.npz", train=images, test=images[:1])
    mapped = read_array(tmp_path / "images.npy")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, images)
    np.testing.assert_array_equal(read_array(tmp_path / "images.npz", "test"), images[:1])
    fails(tmp_path / "images.npy", "shape (2, 3, 4, 4)", "two dimensions")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([[{}]], dtype=object), "never unpickled"),
        (np.array([["a"]]), "type <U1"),
        (np.array([[1j]]), "complex128"),
        (np.array([["2020-01-01"]], dtype="M8[D]"), "datetime64"),
        (np.float64(1), r"shape \(\); it needs rows and columns"),
        (np.ones(3), r"shape \(3,\); it needs rows and columns"),
        (np.ones((0, 3)), "empty array"),
        (np.ones((3, 0)), "empty array"),
    ],
)
@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_arrays_of_no_use(tmp_path, array, words, ending):
    path = tmp_path / f"data.{ending}"
    (np.save if ending == "npy" else np.savez)(path, array)
    for read in (read_array, open_table):
        with pytest.raises(ValueError, match=rf"data\.{ending}: .*{words}"):
            read(path)


def test_mistakes_with_array_files(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, train=np.ones((2, 2)), test=np.zeros((1, 2)))
    fails(path, "several arrays", "'train', 'test'")
    fails(path, "no array 'valid'", "'train', 'test'", key="valid")
    assert numbers(path, key="test").tolist() == [[0, 0]]
    content = path.read_bytes()
    for damaged in (content[:-30], b"", b"\x80,b\n1,2\n"):
        fails(write(path, damaged), "no NPZ file, or damaged or cut short")
    fails(write(path, content.replace(struct.pack("<d", 1.0), struct.pack("<d", 2.0))), "NPZ", "damaged", key="train")
    path = tmp_path / "data.npy"
    np.save(path, np.ones((2, 2)))
    fails(path, "key 'train'", key="train")
    content = path.read_bytes()
    for damaged in (content[:-1], content[:20], b"", b"\x80,b\n1,2\n"):
        fails(write(path, damaged), "no NPY file, or damaged or cut short")
    with pytest.raises(ValueError, match=r"data\.csv: arrays"):
        read_array(write(tmp_path / "data.csv", "1,2"))


@FUZZ
@pytest.mark.filterwarnings("ignore:Reading")  # NumPy takes some damaged headers for Python 2's
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@given(
    changes=st.lists(st.tuples(st.integers(0, 127), st.sampled_from(b"0129(){}[],:'\"<>fOb|TF \n\0\xff")), min_size=1)
)
def test_damaged_headers_of_arrays(changes):
    buffer = io.BytesIO()
    np.save(buffer, np.ones((5, 3)))
    content = bytearray(buffer.getvalue())
    for position, byte in changes:
        content[position] = byte
    with tempfile.TemporaryDirectory() as folder:
        try:
            told = f"data.npy of shape {read_array(write(Path(folder, 'data.npy'), bytes(content))).shape}"
        except ValueError as error:
            told = str(error)
    assert "data.npy" in told
