"""What the commands write: refused before any work, replaced only on request, whole or not at all."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest
from commands import CSV, QUICK, done, refused_in, rows_of


def _outputs(fitted: Path, folder: Path) -> list[tuple[object, ...]]:
    labelled = ("--label", "kind", "--normal", "fine")
    return [
        ("fit", fitted / "none.csv", "-o", folder / "out.tollad"),
        ("score", fitted / "none.tollad", fitted / "none.csv", "-o", folder / "out.csv"),
        ("evaluate", fitted / "none.tollad", fitted / "none.csv", *labelled, "--plot", folder / "out.png"),
    ]


def test_outputs_that_cannot_be_written_are_refused_before_any_work(fitted: Path, tmp_path: Path) -> None:
    for name in ("out.csv", "out.png", "out.tollad"):
        (tmp_path / name).write_bytes(b"mine")
    for run in _outputs(fitted, tmp_path / "nowhere"):
        assert f"there is no folder {tmp_path / 'nowhere'}" in refused_in(tmp_path, *run)
    for run in _outputs(fitted, tmp_path):
        assert "already exists; replace it with --force" in refused_in(tmp_path, *run)
    # With --force the work begins, and fails, since there is nothing to read.
    for run in _outputs(fitted, tmp_path):
        assert "none." in refused_in(tmp_path, *run, "--force")


def test_outputs_of_unknown_format_are_refused_before_any_work(fitted: Path, tmp_path: Path) -> None:
    score = ("score", fitted / "none.tollad", fitted / "none.csv", "-o", tmp_path / "s.xlsx")
    assert "s.xlsx: cannot tell the format from the ending; the known ones are .csv, .jsonl" in refused_in(
        tmp_path, *score
    )
    labelled = ("--label", "kind", "--normal", "fine", "--plot", tmp_path / "p.doc")
    assert "p.doc: cannot tell" in refused_in(
        tmp_path, "evaluate", fitted / "none.tollad", fitted / "none.csv", *labelled
    )


def test_force_replaces_outputs(fitted: Path, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes(b"old")
    done("score", fitted / "m.tollad", fitted / "data.csv", "-o", tmp_path / "s.csv", "--force")
    assert len(rows_of((tmp_path / "s.csv").read_text("utf-8"))) == 80


def test_not_even_force_replaces_what_is_read(fitted: Path, tmp_path: Path) -> None:
    data, model = tmp_path / "d.csv", tmp_path / "m.tollad"
    data.write_bytes((fitted / "data.csv").read_bytes())
    model.write_bytes((fitted / "m.tollad").read_bytes())
    labelled = ("--label", "kind", "--normal", "fine")
    for run in (
        ("fit", data, "-o", data),
        ("fit", data, "-o", tmp_path / "new", "--checkpoint", data),
        ("score", model, data, "-o", data),
        ("score", model, data, "-o", model),
        ("score", model, data, "--on-error", "skip", "--skipped", data),
        ("evaluate", model, data, *labelled, "--plot", data),
        ("calibrate", model, data, *labelled, "-o", data),
    ):
        assert ": it is a file that the command reads; give the output another name" in refused_in(
            tmp_path, *run, "--force"
        )
    done("calibrate", model, data, "--label", "kind", "--normal", "broken", "-o", model, "--force")


def test_a_full_disk_leaves_no_file(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "x.csv").write_text(CSV)
    monkeypatch.setattr(os, "fsync", full)
    for run in (
        ("fit", tmp_path / "x.csv", "-o", tmp_path / "m", *QUICK, "--steps", 30),
        ("score", fitted / "m.tollad", fitted / "data.csv", "-o", tmp_path / "s.parquet"),
    ):
        assert "the disk is full" in refused_in(tmp_path, *run)


@pytest.mark.parametrize(
    "run",
    [
        ("fit", "t.csv", "-o", "OUT.csv"),
        ("fit", "t.csv", "-o", "m", "--checkpoint", "OUT.parquet"),
        ("calibrate", "m", "t.csv", "-o", "OUT.PNG"),
        ("sweep", "t.csv", "--save", "OUT.onnx"),
        ("sweep", "t.csv", "--checkpoint", "OUT.csv"),
        ("export", "m", "-o", "OUT.txt"),
        ("export", "m", "-o", "OUT.tollad"),
        ("export", "m", "--page", "OUT.html"),
        ("info", "m", "--card", "OUT.png"),
        ("score", "m", "t.csv", "--state", "OUT.csv"),
        ("score", "m", "t.csv", "--maps", "OUT.png"),
        ("score", "m", "t.csv", "--on-error", "skip", "--skipped", "OUT.jsonl"),
        ("score", "m", "t.csv", "-o", "OUT.parquet/"),
        ("evaluate", "m", "t.csv", "--label", "k", "--normal", "n", "--on-error", "skip", "--skipped", "OUT.pdf"),
        ("demo", "--out", "OUT.csv"),
        ("paper", "compare", "-o", "OUT.csv"),
        ("paper", "report", "--format", "csv", "-o", "OUT.md"),
    ],
)
def test_the_ending_of_another_kind_of_file_is_refused_before_any_work(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOLLAD_RESULTS", str(tmp_path))
    said = refused_in(tmp_path, *run)
    assert re.match(
        r"Error: OUT\.\w+/?: is to be (an?|the) .*, but its ending is that of another kind of file; name it OUT", said
    )


@pytest.mark.parametrize("name", ["graph.onnx", "graph", "graph.bin"])
def test_a_graph_is_called_so(fitted, tmp_path, name):
    pytest.importorskip("onnx")
    assert (
        done("export", fitted / "m.tollad", "-o", tmp_path / name).stdout == f"Wrote the ONNX graph {tmp_path / name}\n"
    )
