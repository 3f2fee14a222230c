"""What writers that were killed, or that wrote too much, leave in a folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from tollad.io.files import atomic_write


class TestSweeping:
    """Hidden files of writers that were killed go with the next write, others stay."""

    def hidden(self, folder: Path, *, age: float, name: str = ".m.0123456789abcdef.tmp") -> Path:
        path = folder / name
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
        return path

    def test_the_next_write_sweeps(self, tmp_path):
        left = self.hidden(tmp_path, age=100)
        kept = [
            self.hidden(tmp_path, age=5, name=".m.1123456789abcdef.tmp"),
            self.hidden(tmp_path, age=100, name=".m.tmp"),
            self.hidden(tmp_path, age=100, name="m.0123456789abcdef.tmp"),
        ]
        with atomic_write(tmp_path / "m"):
            assert not left.exists()
        assert all(path.exists() for path in kept)

    def test_what_is_being_written_stays(self, tmp_path):
        with atomic_write(tmp_path / "m") as file:
            file.write(b"whole")
            (temporary,) = tmp_path.iterdir()
            os.utime(temporary, (time.time() - 100,) * 2)
            with atomic_write(tmp_path / "n"):
                pass
        assert (tmp_path / "m").read_bytes() == b"whole"

    def test_a_killed_writer(self, tmp_path):
        code = (
            "import os, sys\nfrom tollad.io.files import atomic_write\n"
            "with atomic_write('m') as file:\n    file.write(b'half'); file.flush(); os.kill(os.getpid(), 9)"
        )
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False)
        (left,) = tmp_path.iterdir()
        os.utime(left, (time.time() - 100,) * 2)
        with atomic_write(tmp_path / "n"):
            pass
        assert os.listdir(tmp_path) == ["n"]


def test_a_file_larger_than_may_be(tmp_path):
    code = (
        "import resource\nfrom tollad.io.files import atomic_write\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "with atomic_write('m') as file:\n    file.write(bytes(2000))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "OSError: cannot write m: it is larger than the disk, or a limit of the shell" in done.stderr
    assert os.listdir(tmp_path) == []
