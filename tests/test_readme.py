"""The blocks of the README run as a reader would run them: in order, in one empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture(scope="module")
def blocks() -> list[tuple[str, str]]:
    return re.findall(r"^```(python|bash)\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_python_blocks(blocks: list[tuple[str, str]], tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for language, block in blocks:
        if language == "python":
            exec(compile(block, str(README), "exec"), names)
    aurocs = [float(value) for value in re.findall(r"AUROC (\S+)", capsys.readouterr().out)]
    assert len(aurocs) == 2
    assert aurocs[0] > 0.94


@pytest.mark.slow
def test_bash_blocks(blocks: list[tuple[str, str]], tmp_path: Path) -> None:
    scripts = [block for language, block in blocks if language == "bash"]
    assert scripts
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    for script in scripts:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert "AUROC 0." in done.stdout
    assert (tmp_path / "scores.parquet").stat().st_size > 0
