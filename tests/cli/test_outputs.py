"""What the commands write: refused before any work, replaced only on request, whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from commands import CSV, QUICK, done, refused_in, rows_of


def _outputs(fitted: Path, folder: Path) -> list[tuple[object, ...]]:
    labelled = ("--label", "kind", "--normal", "fine")
    return [
        ("fit", fitted / "none.csv", "-o", folder / "out.csv"),
        ("score", fitted / "none.tollad", fitted / "none.csv", "-o", folder / "out.csv"),
        ("evaluate", fitted / "none.tollad", fitted / "none.csv", *labelled, "--plot", folder / "out.png"),
    ]


def test_outputs_that_cannot_be_written_are_refused_before_any_work(fitted: Path, tmp_path: Path) -> None:
    for name in ("out.csv", "out.png"):
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
