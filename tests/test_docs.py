"""The commands of docs/arrhythmia.md run as a reader would type them, on the real file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "arrhythmia.md"


@pytest.mark.data
def test_arrhythmia(tmp_path: Path) -> None:
    source = Path(os.environ.get("TOLLAD_DATA", "")) / "arrhythmia" / "arrhythmia.data"
    if not source.is_file():
        pytest.skip("needs arrhythmia/arrhythmia.data in the folder that TOLLAD_DATA names")
    shutil.copy(source, tmp_path)
    (script,) = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    auroc = re.search(r"AUROC (\S+)", done.stdout)
    assert auroc is not None
    assert float(auroc[1]) > 0.7
    assert "279: x1, x2" in done.stdout
