"""Downloads from a server on this machine: good, interrupted, killed; and `verify`."""

from __future__ import annotations

import builtins
import errno
import gzip
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest
from datasets.served import ONE, TWO, left_in, tar, zipped
from datasets.written import write

from tollad.datasets import fetch as module
from tollad.datasets.catalogue import CATALOGUE
from tollad.datasets.fetch import fetch, verify

pytest.importorskip("pooch", reason="needs pooch, of the extra data")
pytest.importorskip("tqdm", reason="needs tqdm, of the extra data")


class TestGood:
    def test_single_files(self, server, small, home):
        folder = small([["a/one.gz"], ["a/two"]], one=ONE, two=TWO)
        server.pages = {"a/one.gz": gzip.compress(ONE), "a/two": TWO}
        assert fetch("mnist") == folder
        assert left_in(home) == ["mnist/one.gz", "mnist/two"]
        assert (folder / "one.gz").read_bytes() == server.pages["a/one.gz"]
        assert verify("mnist") == {"one": "ok", "two": "ok"}
        assert server.asked == ["a/one.gz", "a/two"]

    def test_nothing_is_asked_for_again(self, server, small, home, monkeypatch):
        folder = small([["one.gz"]], one=ONE)
        write(folder / "one", ONE)
        no_imports(monkeypatch, "pooch")
        assert fetch("mnist") == folder
        assert server.asked == []

    @pytest.mark.parametrize(("name", "pack"), [("set.tar.gz", tar), ("set.zip", zipped)])
    def test_archives(self, server, small, home, name, pack):
        small([[name]], one__bin=ONE, two__data=TWO)
        server.pages[name] = pack(("set/readme.html", b"hello"), ("set/one.bin", ONE), ("two.data", TWO))
        fetch("mnist")
        assert left_in(home) == ["mnist/one.bin", "mnist/two.data"]
        assert set(verify("mnist").values()) == {"ok"}

    def test_the_second_address(self, server, small):
        """The first has another page under this name, as servers do that are closing down."""
        folder = small([["old/one.gz", "new/one.gz"]], one=ONE)
        server.pages = {"old/one.gz": b"<html>moved</html>", "new/one.gz": gzip.compress(ONE)}
        fetch("mnist")
        assert server.asked == ["old/one.gz", "new/one.gz"]
        assert left_in(folder) == ["one.gz"]

    def test_decompressed_on_the_way(self, server, small):
        folder = small([["one.gz"]], one=ONE)
        server.pages["one.gz"] = ONE
        fetch("mnist")
        assert left_in(folder) == ["one"]

    def test_a_damaged_set_is_replaced_and_other_files_stay(self, server, small, home):
        folder = small([["one.gz"], ["two"]], one=ONE, two=TWO)
        write(folder / "one", ONE[:-1])
        write(folder / "notes.txt", b"mine")
        write(folder / "two.gz", b"damaged")
        server.pages = {"one.gz": gzip.compress(ONE), "two": TWO}
        fetch("mnist")
        assert left_in(home) == ["mnist/notes.txt", "mnist/one.gz", "mnist/two"]
        assert set(verify("mnist").values()) == {"ok"}

    def test_permissions_are_the_usual_ones(self, server, small, home):
        folder = small([["one"]], one=ONE)
        server.pages["one"] = ONE
        (home / "plain").mkdir(parents=True)
        fetch("mnist")
        assert folder.stat().st_mode == (home / "plain").stat().st_mode

    def test_what_killed_processes_left_goes_after_a_day(self, server, small, home):
        small([["one"]], one=ONE)
        server.pages["one"] = ONE
        old, young = home / ".mnist.a.tmp", home / ".mnist.b.tmp"
        for folder in (old, young):
            folder.mkdir(parents=True)
        os.utime(old, (time.time() - 100_000,) * 2)
        fetch("mnist")
        assert (old.exists(), young.exists()) == (False, True)


def no_imports(monkeypatch, name):
    """Make `name` a package that is not installed."""
    real = builtins.__import__

    def importing(wanted, *rest, **more):
        if wanted.partition(".")[0] == name:
            raise ImportError(name)
        return real(wanted, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", importing)


class TestFaults:
    @pytest.mark.parametrize("package", ["pooch", "tqdm"])
    def test_the_extra_is_not_installed(self, small, home, monkeypatch, package):
        small([["one"]], one=ONE)
        no_imports(monkeypatch, package)
        with pytest.raises(ImportError, match=r"pip install 'tollad\[data\]'"):
            fetch("mnist")
        assert not home.exists()

    def test_interrupted(self, server, small, home, monkeypatch):
        """Ctrl-C in the middle."""
        small([["two"], ["one"]], one=ONE, two=TWO)
        server.pages = {"two": TWO, "one": ONE}
        written = module._Bounded.write

        def write_some(self, data):
            written(self, data)
            if len(data) > len(TWO):
                raise KeyboardInterrupt

        monkeypatch.setattr(module._Bounded, "write", write_some)
        with pytest.raises(KeyboardInterrupt):
            fetch("mnist")
        assert list(home.iterdir()) == []

    def test_full_disk(self, server, small, home, monkeypatch):
        """No other address helps then."""
        small([["a/one", "b/one"]], one=ONE)
        server.pages = {"a/one": ONE, "b/one": ONE}

        def full(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(module._Bounded, "write", full)
        with pytest.raises(OSError, match="the disk is full"):
            fetch("mnist")
        assert server.asked == ["a/one"]
        assert list(home.iterdir()) == []

    def test_a_folder_that_may_not_be_written(self, small, home, monkeypatch):
        small([["one"]], one=ONE)

        def forbidden(**_):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(tempfile, "TemporaryDirectory", forbidden)
        with pytest.raises(PermissionError, match=r"cannot write into .*sets: .*; let TOLLAD_DATA name another folder"):
            fetch("mnist")

    def test_the_folder_is_a_file(self, server, small, home):
        folder = small([["one"]], one=ONE)
        server.pages["one"] = ONE
        write(folder, b"")
        with pytest.raises(OSError, match=r"cannot fetch mnist: .*mnist is in the way and no folder; move it away"):
            fetch("mnist")
        assert left_in(home) == ["mnist"]
        assert server.asked == []

    @pytest.mark.parametrize("name", ["one", "one.gz"])
    def test_a_folder_lies_where_a_file_goes(self, server, small, home, name):
        (small([["one"]], one=ONE) / name).mkdir(parents=True)
        with pytest.raises(OSError, match=f"cannot fetch mnist: the folder .*{name} is in the way; move it away"):
            fetch("mnist")
        assert server.asked == []

    def test_all_sets_would_lie_in_a_file(self, server, small, home):
        small([["one"]], one=ONE)
        write(home, b"")
        with pytest.raises(OSError, match=r"cannot write into .*sets: File exists; let TOLLAD_DATA name another"):
            fetch("mnist")
        assert server.asked == []

    def test_progress_on_a_terminal(self, server, small, capsys, monkeypatch):
        """And nothing of it in a log."""
        folder = small([["one"]], one=ONE)
        server.pages["one"] = ONE
        fetch("mnist")
        assert capsys.readouterr().err == ""
        (folder / "one").unlink()
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        fetch("mnist")
        assert "one: 100%" in capsys.readouterr().err

    def test_killed(self, server, small, home):
        """After kill -9 there is no part of a set, and the next call gets it whole."""
        folder = small([["one"], ["two"]], one=ONE, two=TWO)
        reached = threading.Event()

        def stop_halfway(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(TWO)))
            handler.end_headers()
            handler.wfile.write(TWO[:9])
            handler.wfile.flush()
            reached.set()
            server.blocked.wait(60)

        server.pages = {"one": ONE, "two": stop_halfway}
        block = CATALOGUE["mnist"]
        code = f"""
from dataclasses import replace
from tollad.datasets.catalogue import CATALOGUE
from tollad.datasets.files import Content
from tollad.datasets.fetch import fetch
CATALOGUE["mnist"] = replace(CATALOGUE["mnist"], downloads={block.downloads!r}, files={dict(block.files)!r})
fetch("mnist")
"""
        with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) as process:
            assert reached.wait(20), process.stderr.read()
            process.send_signal(signal.SIGKILL)
        server.blocked.set()
        assert not folder.exists()
        assert verify("mnist") == {"one": "missing", "two": "missing"}
        assert any(name.startswith(".mnist.") for name in left_in(home))
        server.pages["two"] = TWO
        fetch("mnist")
        assert left_in(folder) == ["one", "two"]


class TestVerify:
    def test_states(self, small):
        folder = small([["one"]], one=ONE, two=TWO, three=TWO, four=TWO, five=TWO)
        write(folder / "one.gz", ONE, zipped=True)
        write(folder / "two", TWO[:-1])
        write(folder / "three", TWO[:-1] + b" ")
        write(folder / "four.gz", gzip.compress(TWO)[:-9])
        assert verify("mnist") == {
            "one": "ok",
            "two": f"two holds {len(TWO) - 1} of {len(TWO)} bytes",
            "three": "three has another SHA-256 than the authors' file",
            "four": f"{folder / 'four.gz'} is a gzip file that is damaged or cut short; download it again",
            "five": "missing",
        }


@pytest.mark.data
@pytest.mark.parametrize("name", CATALOGUE)
def test_real_sets_are_those_of_the_catalogue(name, real):
    assert set(verify(real(name)).values()) == {"ok"}
