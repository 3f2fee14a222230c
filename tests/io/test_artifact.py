"""Laws of tollad.io.artifact: what was saved is loaded, with the versions that wrote it and only as what it is."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from tollad.io import artifact, packed

METADATA = {"objective": {"l2": 1.0, "latent_l2": 0.5}, "columns": ["größe"]}
TENSORS = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "steps": np.array(7)}


@pytest.mark.parametrize("kind", ["model", "checkpoint"])
def test_round_trip(tmp_path: Path, kind: artifact.Kind) -> None:
    path = tmp_path / "größe.tollad"
    artifact.save(path, kind, METADATA, TENSORS)
    metadata, tensors = artifact.load(str(path), kind)
    versions = {package: version(package) for package in ("tollad", "torch", "numpy", "scikit-learn")}
    assert metadata == {**METADATA, "versions": {**versions, "python": platform.python_version()}}
    assert list(tensors) == ["steps", "weight"]
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], array, strict=True)
    assert list(tmp_path.iterdir()) == [path]


def test_loaded_content_saves_to_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    artifact.save(first, "model", METADATA, TENSORS)
    artifact.save(second, "model", *artifact.load(first, "model"))
    assert first.read_bytes() == second.read_bytes()


def test_versions_are_those_that_write_the_file(tmp_path: Path) -> None:
    artifact.save(tmp_path / "model", "model", {"versions": {"tollad": "0.0.1"}}, {})
    metadata, _ = artifact.load(tmp_path / "model", "model")
    assert metadata["versions"]["tollad"] == version("tollad")


@pytest.mark.parametrize(("saved", "wanted"), [("model", "checkpoint"), ("checkpoint", "model")])
def test_other_kind_is_refused(tmp_path: Path, saved: artifact.Kind, wanted: artifact.Kind) -> None:
    artifact.save(tmp_path / "m.tollad", saved, METADATA, TENSORS)
    with pytest.raises(ValueError, match=rf"m\.tollad is a tollad file of kind '{saved}'; give .* kind '{wanted}'"):
        artifact.load(tmp_path / "m.tollad", wanted)


def test_file_without_a_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.tollad").write_bytes(packed.pack({}, {}))
    with pytest.raises(ValueError, match="of kind 'unknown'"):
        artifact.load(tmp_path / "m.tollad", "model")


def test_kind_is_reserved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'kind' is reserved"):
        artifact.save(tmp_path / "m.tollad", "model", {"kind": "checkpoint"}, {})
    assert list(tmp_path.iterdir()) == []


def test_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "m.tollad"
    artifact.save(path, "model", {"n": 1}, {}, overwrite=False)
    with pytest.raises(FileExistsError, match=r"m\.tollad already exists"):
        artifact.save(path, "model", {"n": 2}, {}, overwrite=False)
    assert artifact.load(path, "model")[0]["n"] == 1
    artifact.save(path, "model", {"n": 2}, {})
    assert artifact.load(path, "model")[0]["n"] == 2


def test_content_that_cannot_be_stored_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "m.tollad"
    artifact.save(path, "model", METADATA, TENSORS)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        artifact.save(path, "model", {"beta": float("nan")}, TENSORS)
    with pytest.raises(TypeError, match="tensor 'a'"):
        artifact.save(path, "model", {}, {"a": np.array(["text"])})
    assert path.read_bytes() == before


def test_bad_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "m.tollad"
    with pytest.raises(FileNotFoundError, match=r"m\.tollad: there is no such file"):
        artifact.load(path, "model")
    path.write_bytes(b"x,y\n1,2\n")
    with pytest.raises(ValueError, match=r"m\.tollad is not a tollad model file, it looks like text"):
        artifact.load(path, "model")


def test_file_says_what_it_is_to_other_readers(tmp_path: Path) -> None:
    artifact.save(tmp_path / "m.tollad", "checkpoint", METADATA, TENSORS)
    data = (tmp_path / "m.tollad").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert json.loads(header["__metadata__"]["tollad"])["kind"] == "checkpoint"


def test_torch_is_not_imported(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from tollad import artifact\n"
        "artifact.save(sys.argv[1], 'model', {}, {})\n"
        "artifact.load(sys.argv[1], 'model')\n"
        "assert not {'torch', 'sklearn'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "m.tollad")], check=True)
