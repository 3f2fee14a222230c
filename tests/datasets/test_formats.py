"""Readers: what was written comes back, and each kind of bad file is one sentence that names it."""

from __future__ import annotations

import contextlib
import gzip
import re

import numpy as np
import pytest
from datasets.written import arrhythmia_text, cifar_bytes, idx_bytes, write
from hypothesis import given
from hypothesis import strategies as st

from tollad.datasets.formats import read_arrhythmia, read_cifar10, read_cifar100, read_idx, read_idx_pair
from tollad.io import idx

seeds = st.integers(0, 2**32 - 1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def refused(read, path, words):
    """Assert that reading `path` fails in one sentence that names the file, says `words` and what to do."""
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    assert "download it again" in message
    assert "\n" not in message


class TestIDX:
    @given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=4), seed=seeds, zipped=st.booleans())
    def test_round_trip(self, path, shape, seed, zipped):
        values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
        read = read_idx(write(path, idx_bytes(values), zipped=zipped))
        assert read.dtype == np.uint8
        assert np.array_equal(read, values)
        assert read.shape == values.shape

    @given(n=st.integers(0, 6), seed=seeds)
    def test_pair(self, tmp_path, n, seed):
        rng = np.random.default_rng(seed)
        images, labels = rng.integers(0, 256, (n, 4, 3)), rng.integers(0, 10, n)
        paths = write(tmp_path / "i", idx_bytes(images), zipped=True), write(tmp_path / "l", idx_bytes(labels))
        pixels, classes = read_idx_pair(*paths)
        assert np.array_equal(pixels, images)
        assert classes.dtype == np.int64
        assert classes.tolist() == labels.tolist()

    @given(content=st.binary(max_size=40))
    def test_other_bytes_are_refused(self, path, content):
        """Whatever can be read is all that the file says; everything else is a ValueError."""
        with contextlib.suppress(ValueError):
            assert idx_bytes(read_idx(write(path, content))) == content

    @given(cut=st.integers(1, 24), zipped=st.booleans())
    def test_short(self, path, cut, zipped):
        content = idx_bytes(np.zeros((2, 3, 2)))
        write(path, content[:-cut], zipped=zipped)
        words = "after its header, which announces 2 x 3 x 2 = 12" if cut <= 12 else "ends within its header"
        refused(read_idx, path, words)

    def test_wrong_magic(self, path):
        refused(read_idx, write(path, b"\x00\x00\x0d\x01\x00\x00\x00\x00"), "it begins with 00 00 0d 01")
        refused(read_idx, write(path, b"\x00\x00\x08\x00"), "no IDX file of bytes")
        refused(read_idx, write(path, b""), "it begins with nothing")
        refused(read_idx, write(path, b"<!DOCTYPE html>"), "no IDX file of bytes")

    def test_header_cut_short(self, path):
        refused(read_idx, write(path, b"\x00\x00\x08\x03\x00\x00"), "ends within its header, after 6 bytes")

    def test_over_long(self, path):
        refused(read_idx, write(path, idx_bytes(np.zeros(3)) + b"!"), "holds 4 bytes after its header")

    def test_header_that_announces_more_than_memory(self, path):
        write(path, b"\x00\x00\x08\x04" + b"\xff" * 16)
        refused(read_idx, path, "holds 0 bytes after its header")

    def test_wrong_dimensions(self, tmp_path):
        images = write(tmp_path / "images", idx_bytes(np.zeros((3, 2, 2))))
        labels = write(tmp_path / "labels", idx_bytes(np.zeros(3)))
        refused(lambda path: read_idx_pair(path, labels), labels, "has 1 dimensions, and images have 3")
        refused(lambda path: read_idx_pair(images, path), images, "has 3 dimensions, and labels have 1")

    def test_unequal_numbers(self, tmp_path):
        images = write(tmp_path / "images", idx_bytes(np.zeros((3, 2, 2))))
        labels = write(tmp_path / "labels", idx_bytes(np.zeros(4)))
        with pytest.raises(
            ValueError, match=r"labels holds 4 labels for the 3 images of .*images; download them again"
        ):
            read_idx_pair(images, labels)

    def test_label_out_of_range(self, tmp_path):
        images = write(tmp_path / "images", idx_bytes(np.zeros((3, 2, 2))))
        labels = write(tmp_path / "labels", idx_bytes(np.array([0, 9, 10])))
        refused(lambda path: read_idx_pair(images, path), labels, "gives image 2 the label 10, and labels are 0 to 9")


class TestCIFAR:
    @given(n=st.integers(1, 4), seed=seeds, zipped=st.booleans())
    def test_round_trip_of_ten(self, path, n, seed, zipped):
        rng = np.random.default_rng(seed)
        images, labels = rng.integers(0, 256, (n, 3, 32, 32)), rng.integers(0, 10, n)
        read, classes = read_cifar10(write(path, cifar_bytes(images, labels), zipped=zipped))
        assert read.dtype == np.uint8
        assert classes.dtype == np.int64
        assert np.array_equal(read, images)
        assert np.array_equal(classes, labels)

    @given(n=st.integers(1, 4), seed=seeds, zipped=st.booleans())
    def test_round_trip_of_a_hundred(self, path, n, seed, zipped):
        rng = np.random.default_rng(seed)
        images, fine, coarse = rng.integers(0, 256, (n, 3, 32, 32)), rng.integers(0, 100, n), rng.integers(0, 20, n)
        read = read_cifar100(write(path, cifar_bytes(images, coarse, fine), zipped=zipped))
        for got, wanted in zip(read, (images, fine, coarse), strict=True):
            assert np.array_equal(got, wanted)

    @pytest.mark.parametrize("read", [read_cifar10, read_cifar100])
    @pytest.mark.parametrize("n_bytes", [0, 1, 3072, 3075, 2 * 3073 + 1])
    def test_wrong_length(self, path, read, n_bytes):
        refused(read, write(path, bytes(n_bytes)), f"holds {n_bytes} bytes, and its records have 307")

    def test_the_other_cifar(self, path):
        """Both lengths fit no number of images below 3073."""
        refused(read_cifar10, write(path, bytes(3074 * 10)), "not of the binary version of CIFAR")
        refused(read_cifar100, write(path, bytes(3073 * 10)), "not of the binary version of CIFAR")

    def test_labels_out_of_range(self, path):
        images = np.zeros((2, 3, 32, 32))
        write(path, cifar_bytes(images, np.array([9, 10])))
        refused(read_cifar10, path, "gives image 1 the label 10, and labels are 0 to 9")
        write(path, cifar_bytes(images, np.array([19, 19]), np.array([100, 99])))
        refused(read_cifar100, path, "gives image 0 the label 100, and labels are 0 to 99")
        write(path, cifar_bytes(images, np.array([20, 19]), np.array([99, 99])))
        refused(read_cifar100, path, "gives image 0 the label 20, and labels are 0 to 19")


class TestArrhythmia:
    @given(n=st.integers(1, 4), seed=seeds, missing=st.floats(0, 1), zipped=st.booleans())
    def test_round_trip(self, path, n, seed, missing, zipped):
        rng = np.random.default_rng(seed)
        rows, labels = rng.normal(size=(n, 279)) * 100, rng.integers(1, 17, n)
        rows[rng.random(rows.shape) < missing] = np.nan
        write(path, arrhythmia_text(rows, labels).encode(), zipped=zipped)
        read, classes = read_arrhythmia(path)
        assert np.array_equal(read, rows, equal_nan=True)
        assert classes.dtype == np.int64
        assert np.array_equal(classes, labels)

    def lines(self, **changed):
        """Two good lines; `changed` replaces values of the second by their number, from 1."""
        rows = np.ones((2, 279))
        first, second = arrhythmia_text(rows, np.array([1, 2])).splitlines()
        values = second.split(",")
        for number, text in changed.items():
            values[int(number[1:]) - 1] = text
        return f"{first}\n{','.join(values)}\n".encode()

    @pytest.mark.parametrize("text", ["", "abc", "nan", "inf", "1e999", "1;2", "ü"])
    def test_bad_number(self, path, text):
        refused(read_arrhythmia, write(path, self.lines(x7=text)), "line 2, value 7 is '")

    @pytest.mark.parametrize("text", ["0", "17", "1.5", "?", "-1"])
    def test_bad_class(self, path, text):
        refused(read_arrhythmia, write(path, self.lines(x280=text)), f"line 2 has the class {text!r}")

    def test_wrong_number_of_values(self, path):
        refused(read_arrhythmia, write(path, self.lines() + b"1,2,3\n"), "line 3 holds 3 values and not 280")
        refused(read_arrhythmia, write(path, self.lines()[:-20]), "line 2 holds")

    def test_no_rows(self, path):
        refused(read_arrhythmia, write(path, b""), "holds no rows")
        refused(read_arrhythmia, write(path, b"\n\n"), "holds no rows")

    def test_other_line_ends(self, path):
        rows, _ = read_arrhythmia(write(path, self.lines().replace(b"\n", b"\r\n") + b"\r\n"))
        assert rows.shape == (2, 279)


@pytest.mark.parametrize("read", [read_idx, read_cifar10, read_cifar100, read_arrhythmia])
class TestAnyFile:
    @given(cut=st.integers(1, 60))
    def test_gzip_cut_short(self, path, read, cut):
        content = gzip.compress(np.random.default_rng(0).bytes(3074))
        refused(read, write(path, content[:-cut]), "is a gzip file that is damaged or cut short")

    def test_gzip_damaged(self, path, read):
        content = bytearray(gzip.compress(np.random.default_rng(0).bytes(3074)))
        content[-6] ^= 1  # in the checksum
        refused(read, write(path, content), "is a gzip file that is damaged or cut short")

    def test_gzip_bomb(self, path, read, monkeypatch):
        monkeypatch.setattr(idx, "_LIMIT", 1 << 21)
        refused(read, write(path, bytes(1 << 23), zipped=True), "holds more than 2 MiB")

    def test_no_file(self, tmp_path, read):
        for path in (tmp_path / "absent", tmp_path):
            with pytest.raises(FileNotFoundError, match=re.escape(f"there is no file {path}")):
                read(path)
