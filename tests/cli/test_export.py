"""``tollad export``, and ``tollad score`` by what it writes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from commands import COMMAND, QUICK, done, refused, refused_in, rows_of, scores_of, text_of, tollad
from detectors import FEW_STEPS

from tollad import SeriesDetector

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

ENDINGS = ("tollad", "onnx")

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(0)
    (path / "train.csv").write_bytes(text_of(rng.normal(size=(80, 3))))
    (path / "new.csv").write_bytes(text_of(rng.normal(size=(30, 3)) * 2))
    done("fit", path / "train.csv", "-o", path / "m.tollad", *QUICK)
    done("export", path / "m.tollad", "-o", path / "m.onnx")
    return path


def test_scores_and_verdicts_are_those_of_the_model(folder):
    wanted, found = (
        rows_of(done("score", folder / name, folder / "new.csv").stdout) for name in ("m.tollad", "m.onnx")
    )
    assert [row["verdict"] for row in found] == [row["verdict"] for row in wanted]
    np.testing.assert_allclose(
        [float(row["score"]) for row in found], [float(row["score"]) for row in wanted], rtol=1e-6
    )


def test_result_as_json(folder):
    result = done("score", folder / "m.onnx", folder / "new.csv", "-o", folder / "out.csv", "--json")
    assert '"rows_written": 30' in result.stdout


def test_options_that_need_the_model(folder):
    result = tollad("score", folder / "m.onnx", folder / "new.csv", "--explain", "2")
    assert result.exit_code == 2
    assert "other options need the model file" in result.stderr


def test_an_existing_file_is_kept(folder):
    assert "exists" in refused_in(folder, "export", folder / "m.tollad", "-o", folder / "m.onnx")


def test_a_file_that_is_no_graph(folder):
    (folder / "no.onnx").write_bytes(b"no graph")
    assert "is no ONNX file of tollad" in refused("score", folder / "no.onnx", folder / "new.csv")


def test_torch_is_not_imported(folder, series):
    pairs = [(folder / "m.onnx", folder / "new.csv")]
    pairs += [(home / "s.onnx", home / "new.csv") for home in series.values()]
    code = (
        "import sys; from tollad.cli.main import main\n"
        f"for pair in {[(str(model), str(data)) for model, data in pairs]}:\n"
        "    main(['score', *pair], standalone_mode=False)\n"
        "print([name for name in ('torch', 'sklearn', 'scipy') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([COMMAND[0], "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_columns_are_told_by_their_names(folder):
    """They may stand in another order in a file of an ONNX model, too."""
    lines = (folder / "new.csv").read_text().splitlines()
    turned = "\n".join(",".join(reversed(line.split(","))) for line in lines) + "\n"
    (folder / "turned.csv").write_text(turned)
    found = [scores_of(done("score", folder / "m.onnx", folder / name).stdout) for name in ("new.csv", "turned.csv")]
    assert found[0] == found[1]


def test_images_are_scored_by_their_graph(tmp_path):
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(16):
        pixels = rng.integers(0, 255, (30, 24), dtype=np.uint8)
        image.fromarray(pixels).save(tmp_path / "photos" / f"{number:02}.png")
    how = ("--size", "20x20", "--representation", "gradients", "--quiet")
    done("fit", tmp_path / "photos", "-o", tmp_path / "i.tollad", *how)
    done("export", tmp_path / "i.tollad", "-o", tmp_path / "i.onnx")
    wanted, found = (
        rows_of(done("score", tmp_path / name, tmp_path / "photos").stdout) for name in ("i.tollad", "i.onnx")
    )
    assert [row["file"] for row in found] == [f"{number:02}.png" for number in range(16)]
    np.testing.assert_allclose(
        [float(row["score"]) for row in found], [float(row["score"]) for row in wanted], rtol=1e-5
    )


SERIES = {"": (), "causal": ("--causal",), "gaps": ("--gaps", "split"), "groups": ("--group", "g")}


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Folders with a series, a model of it and its graph."""
    return {kind: _series(tmp_path_factory.mktemp("series"), how) for kind, how in SERIES.items()}


def _series(home: Path, how: tuple[str, ...]) -> Path:
    rng = np.random.default_rng(0)
    lines = [f"{t},{np.sin(t / 3) + rng.normal() / 9:.6f},{'ab'[t % 2]}\n" for t in range(400)]
    spike = [*lines[:150], "150,9,a\n", *lines[151:220], *lines[222 + 20 * ("split" in how) : 300]]
    for name, part in (("train.csv", lines), ("new.csv", spike)):
        (home / name).write_text("t,x,g\n" + "".join(part))
    named = how if "--group" in how else (*how, "--drop", "g")
    small = ("--window", 12, "--hidden", 8, "--steps", 9, "--random-state", 0, "--quiet")
    done("fit", home / "train.csv", "--time", "t", *small, *named, "-o", home / "s.tollad")
    done("export", home / "s.tollad", "-o", home / "s.onnx")
    return home


@pytest.mark.parametrize("kind", SERIES)
def test_a_series_is_scored_by_its_graph_as_by_its_model(kind, series):
    """Its time stamps, gaps, groups and trimmed alarms, too."""
    home = series[kind]
    wanted, found = (rows_of(done("score", home / f"s.{end}", home / "new.csv").stdout) for end in ENDINGS)
    assert [{**row, "score": ""} for row in found] == [{**row, "score": ""} for row in wanted]
    scores = [[float(row["score"] or "nan") for row in rows] for rows in (found, wanted)]
    np.testing.assert_allclose(*scores, rtol=1e-6)
    assert "anomaly" in [row["verdict"] for row in found]


def test_a_series_shorter_than_a_window(tmp_path):
    SeriesDetector(window=8, steps=3, hidden=(4,), random_state=0).fit(np.sin(np.arange(200) / 3)).to_onnx(
        tmp_path / "s.onnx"
    )
    (tmp_path / "s.csv").write_text("x1\n1\n2\n")
    assert "fewer than the window of 8" in refused("score", tmp_path / "s.onnx", tmp_path / "s.csv")


def test_temporary_files_that_are_too_large_are_told_apart_from_outputs(folder, tmp_path):
    """The user can choose another folder for the output, and another one for temporary files."""
    (tmp_path / "steps.csv").write_bytes((folder / "train.csv").read_bytes())
    fit = ("fit", tmp_path / "steps.csv", "-o", tmp_path / "s.tollad", "--window", 4, *QUICK)
    score = ("score", folder / "m.tollad", folder / "new.csv", "-o", f"{tmp_path}/parts/")
    for run in (("export", folder / "m.tollad", "-o", tmp_path / "m.onnx"), fit, score):
        code = (
            "import resource; from tollad.cli.main import main; import torch, pyarrow.fs\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            f"main({[*map(str, run)]})"
        )
        done = subprocess.run([COMMAND[0], "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert re.fullmatch(
            r"Error: the folder for temporary files, .*, or a limit of the shell \(ulimit -f\), takes no file as large "
            r"as is needed; free some space, or name another folder in the environment variable TMPDIR\n",
            done.stderr,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["steps.csv"]
