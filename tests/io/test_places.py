"""Files by pattern, here and in a store: a folder of this machine stands for one by its URI."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tollad.io.places import local_copy, matching, mtimes


@pytest.fixture
def folder(tmp_path):
    for name in ("b.csv", "a.csv", "c.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "sub.csv").mkdir()
    return tmp_path


@pytest.fixture(params=["here", "in a store"])
def root(request, folder):
    return str(folder) if request.param == "here" else folder.as_uri()


def test_files_that_match_in_order(root):
    assert matching(f"{root}/*.csv") == [f"{root}/a.csv", f"{root}/b.csv"]
    assert matching(f"{root}/c.txt") == [f"{root}/c.txt"]


def test_none_that_matches(root):
    with pytest.raises(FileNotFoundError, match=r"no file matches .*\*\.npy; check the folder"):
        matching(f"{root}/*.npy")
    with pytest.raises(FileNotFoundError, match="no file matches"):
        matching(f"{root}/nowhere/*.csv")


def test_when_they_changed(root, folder):
    os.utime(folder / "a.csv", (5, 5))
    assert mtimes([f"{root}/a.csv"]) == {f"{root}/a.csv": 5.0}


def test_a_copy_has_the_same_bytes_and_messages_name_the_original(root):
    path = f"{root}/a.csv"
    with local_copy(path) as local:
        assert Path(local).read_text() == "a.csv"
    with pytest.raises(ValueError, match=f"^{path}, line 3"), local_copy(path) as local:
        raise ValueError(f"{local}, line 3")


def test_stores_that_arrow_does_not_know():
    with pytest.raises(OSError, match="nowhere://"):
        matching("nowhere://bucket/*.csv")
    with pytest.raises(ValueError, match="only the name of the file"):
        matching("file:///a*/b.csv")
