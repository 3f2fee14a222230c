"""Rows beyond memory: a file that is not there, and exactly the numbers that memory would give."""

from __future__ import annotations

import collections
import errno
import gc
import io
import os
import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tollad.tables import large as stored
from tollad.tables.large import LargeRows, RowFile, as_large, in_blocks, order_statistics, take


def filled(rows: np.ndarray) -> RowFile:
    file = RowFile(rows.shape[1], len(rows))
    for start in range(0, len(rows), 7):
        file.append(rows[start : start + 7])
    return file


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(100, 3))


class TestRowFile:
    def test_gives_back_what_was_written(self, rows):
        file = filled(rows)
        assert (len(file), file.shape) == (100, (100, 3))
        for chosen in (slice(None), slice(5, 20), slice(90, 300), slice(3, 3), np.array([7, 0, 99, 7])):
            np.testing.assert_array_equal(file[chosen], rows[chosen])

    def test_leaves_no_file(self, rows, tmp_path, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        file = filled(rows)
        descriptor = file._file.fileno()
        if os.name == "posix":
            assert os.listdir(tmp_path) == []
        del file
        gc.collect()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
        assert os.listdir(tmp_path) == []

    def test_a_folder_that_is_too_small_is_refused_at_once(self, monkeypatch):
        usage = collections.namedtuple("usage", "free")(2**30)
        monkeypatch.setattr(stored.shutil, "disk_usage", lambda folder: usage)
        with pytest.raises(OSError, match=r"has 1.0 GiB free, and the rows take 1.5 GiB; .*TMPDIR") as caught:
            RowFile(2, 100_663_296)
        assert caught.value.errno == errno.ENOSPC
        RowFile(2, 1000)

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    def test_a_folder_that_fills_up_is_named(self, rows, monkeypatch, number):
        file = filled(rows)

        class Full(io.RawIOBase):
            def seek(self, *place):
                return 0

            def write(self, data):
                raise OSError(number, "no space")

        monkeypatch.setattr(file, "_file", Full())
        with pytest.raises(OSError, match=rf"{tempfile.gettempdir()}, is full; .*TMPDIR") as caught:
            file.append(rows)
        assert caught.value.errno == number

    def test_other_errors_stay_what_they_are(self, rows, monkeypatch):
        class Broken(io.RawIOBase):
            def seek(self, *place):
                return 0

            def write(self, data):
                raise OSError(errno.EIO, "broken")

            def readinto(self, data):
                return 0

        file = filled(rows)
        monkeypatch.setattr(file, "_file", Broken())
        with pytest.raises(OSError, match="broken"):
            file.append(rows)
        with pytest.raises(OSError, match="ends too early"):
            file[:3]


class TestLargeRows:
    def test_is_read_like_an_array(self, rows):
        large = LargeRows(filled(rows))
        assert (len(large), large.shape, large.ndim, large.dtype) == (100, (100, 3), 2, np.float64)
        for chosen in (slice(5, 20), np.array([7, 0, 99])):
            np.testing.assert_array_equal(large[chosen], rows[chosen])

    def test_some_of_some(self, rows):
        index, within = np.array([50, 3, 8, 99]), np.array([3, 1])
        large = take(take(LargeRows(filled(rows)), index), within)
        np.testing.assert_array_equal(large[:], rows[index][within])
        np.testing.assert_array_equal(take(rows, index), rows[index])

    def test_changes_are_made_when_rows_are_read(self, rows):
        large = LargeRows(filled(rows)).changed(lambda block: block[:, None, :2]).take(np.array([4, 5]))
        assert (large.shape, large.ndim) == ((2, 1, 2), 3)
        np.testing.assert_array_equal(large[1:], rows[5:6, None, :2])

    def test_blocks_are_all_the_rows(self, rows, monkeypatch):
        monkeypatch.setattr(stored, "_BLOCK_VALUES", 20)
        for form in (LargeRows(filled(rows)), rows):
            blocks = list(in_blocks(form))
            assert {len(block) for block in blocks[:-1]} == {6}
            np.testing.assert_array_equal(np.concatenate(blocks), rows)

    def test_blocks_are_whole_blocks_of_scores(self):
        file = RowFile(100)
        file.append(np.zeros((25_000, 100)))
        assert [len(block) % 1024 for block in in_blocks(LargeRows(file))][:-1] == [0, 0]

    def test_only_large_maps_are_beyond_memory(self, rows, tmp_path, monkeypatch):
        np.save(tmp_path / "rows.npy", rows)
        mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
        assert as_large(mapped, mapped) is mapped
        monkeypatch.setattr(stored, "IN_MEMORY_BYTES", 1000)
        assert isinstance(as_large(mapped, mapped), LargeRows)
        assert as_large(rows, rows) is rows


@given(
    values=hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 3)), elements=st.floats()),
    seed=st.integers(0, 100),
)
def test_order_statistics_are_those_of_sorting(values, seed):
    ranks = np.random.default_rng(seed).integers(len(values), size=(3, values.shape[1]))
    expected = np.take_along_axis(np.sort(values, axis=0), ranks, 0)
    np.testing.assert_array_equal(order_statistics(values, ranks), expected)


def test_order_statistics_of_many_blocks(monkeypatch):
    monkeypatch.setattr(stored, "_BLOCK_VALUES", 1000)
    values = np.random.default_rng(0).normal(size=(5001, 4)).round(2)
    ranks = np.array([[0, 2500, 5000, 17], [1, 2501, 4999, 18]])
    found = order_statistics(LargeRows(filled(values)), ranks)
    np.testing.assert_array_equal(found, np.take_along_axis(np.sort(values, axis=0), ranks, 0))
