"""``tollad sweep``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import done, refused_in, rows_of, tollad

from tollad import TollDetector

LABELS = ("--label", "kind", "--normal", "fine", "--normal", "good", "--drop", "id")
SMALL = ("--seeds", 2, "--steps", 12, "--hidden", 8, *LABELS)


def test_table_picture_and_model(fitted: Path, tmp_path: Path) -> None:
    outputs = ("-o", tmp_path / "t.csv", "--plot", tmp_path / "p.png", "--save", tmp_path / "m")
    swept = ("--beta", "0.5,2", "--latent-dim", "2,3", "--test", fitted / "data.csv")
    result = done("sweep", fitted / "data.csv", *swept, *SMALL, *outputs)
    assert "8 fits of 2 members, 12 steps each, as 1 stack: about" in result.stderr
    lines = result.stdout.splitlines()
    names = "beta latent fits shuffled agreement generalisation auroc average_precision"
    assert lines[0].split() == names.split()
    assert len(rows_of((tmp_path / "t.csv").read_text())) == 8
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    model = TollDetector.load(tmp_path / "m")
    assert f"beta {model.beta:g}, latent_dim {model.latent_dim}, random_state {model.random_state} by auroc" in lines[6]
    assert model.source_.name == "data.csv"
    assert done("score", tmp_path / "m", fitted / "data.csv").stdout.count("\n") == 81


def test_json_without_labels(fitted: Path) -> None:
    said = json.loads(done("sweep", fitted / "data.csv", "--beta", "1", *SMALL, "--json").stdout)
    assert said["by"] == "shuffled"
    assert len(said["fits"]) == 2
    assert said["best"] in said["fits"]


def test_files_are_not_replaced(fitted: Path, tmp_path: Path) -> None:
    (tmp_path / "m").write_text("mine")
    assert "m" in refused_in(tmp_path, "sweep", fitted / "data.csv", *SMALL, "--save", tmp_path / "m")


def test_ctrl_c_keeps_what_is_trained(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ("sweep", fitted / "data.csv", "--beta", "1", *SMALL, "--checkpoint", tmp_path / "c")
    with monkeypatch.context() as patched:
        patched.setattr("tollad.detector.sweep.with_criteria", _interrupt)
        result = tollad(*run)
    assert result.exit_code == 130
    assert result.stderr.endswith(f"Interrupted; the same command goes on from {tmp_path / 'c'}\n")
    (kept,) = (tmp_path / "c").iterdir()
    before = kept.stat().st_mtime_ns
    done(*run)
    assert kept.stat().st_mtime_ns == before
    kept.write_bytes(kept.read_bytes()[:-9])
    refusal = tollad(*run)
    assert refusal.exit_code == 1
    assert refusal.stderr.splitlines()[-1].startswith(f"Error: {kept}")


def _interrupt(*arguments: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--beta", "1,x"), "'1,x' is no list of numbers"),
        (("--by", "auroc"), "--by auroc needs --test"),
        (("--test", "x.csv"), "--test needs --label and --normal"),
    ],
)
def test_usage(arguments: tuple[str, ...], words: str) -> None:
    result = tollad("sweep", "train.csv", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
