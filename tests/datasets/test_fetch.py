"""Downloads from a server on this machine: good, truncated, altered, absent, interrupted, killed; and `verify`."""

from __future__ import annotations

import builtins
import errno
import gzip
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from datasets.written import idx_bytes, write

from tollad.datasets import fetch as module
from tollad.datasets.catalogue import CATALOGUE, Content
from tollad.datasets.fetch import fetch, verify

pytest.importorskip("pooch", reason="needs pooch, of the extra data")
pytest.importorskip("tqdm", reason="needs tqdm, of the extra data")

ONE, TWO = idx_bytes(np.arange(200_000) % 251), b"5,6\n7,8\n" * 100


def content(data):
    return Content(len(data), hashlib.sha256(data).hexdigest())


class Server(ThreadingHTTPServer):
    """Answers from `pages`: bytes, or a function that writes its answer by itself."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages = {}
        self.asked = []
        self.blocked = threading.Event()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path[1:])
        page = self.server.pages.get(self.path[1:])
        if page is None:
            self.send_error(404)
        elif callable(page):
            page(self)
        else:
            self.answer(page, len(page))

    def answer(self, data, length):
        self.send_response(200)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.blocked.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def small(monkeypatch, server, home):
    """A set "mnist" of one file of its own, offered at two addresses, and of one in an archive."""

    def offer(downloads, **files):
        known = {name.replace("__", "."): content(data) for name, data in files.items()}
        addresses = tuple(tuple(map(server.url, group)) for group in downloads)
        monkeypatch.setitem(CATALOGUE, "mnist", replace(CATALOGUE["mnist"], downloads=addresses, files=known))
        return home / "mnist"

    return offer


def left_in(folder):
    """All files below a folder, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def tar(*members, name_of=tarfile.TarInfo):
    """A gzipped tar archive of (path, data) or of ready `TarInfo`s."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = name_of(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()


def zipped(*members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in members:
            archive.writestr(path, data)
    return out.getvalue()


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


def cut(data, length):
    """An answer that breaks off."""
    return lambda handler: handler.answer(data[:length], len(data))


class TestBad:
    def refused(self, home, *words, error=OSError):
        """Nothing is left behind, and the one sentence tells what happened and what to do."""
        with pytest.raises(error) as caught:
            fetch("mnist")
        message = str(caught.value)
        for word in ("cannot fetch mnist", *words):
            assert word in message
        assert "\n" not in message
        assert ".tmp" not in message
        assert left_in(home) == []
        assert list(home.iterdir()) == []

    def test_absent(self, server, small, home):
        small([["a/one.gz", "b/one.gz"]], one=ONE)
        self.refused(
            home, server.url("a/one.gz"), server.url("b/one.gz"), "404", "try again later, or put the authors'"
        )

    def test_no_server(self, small, server, home, monkeypatch):
        small([["one.gz"]], one=ONE)
        port = server.server_port
        monkeypatch.setitem(
            CATALOGUE, "mnist", replace(CATALOGUE["mnist"], downloads=((f"http://127.0.0.1:{port}0/one.gz",),))
        )
        self.refused(home, "one.gz")

    def test_breaks_off(self, server, small, home):
        small([["one.gz"]], one=ONE)
        data = gzip.compress(ONE)
        for length in (0, 10, len(data) - 1):
            server.pages["one.gz"] = cut(data, length)
            self.refused(home, "IncompleteRead")

    @pytest.mark.parametrize("name", ["one.gz", "set.tar.gz", "set.zip"])
    def test_truncated_on_the_server(self, server, small, home, name):
        small([[name]], one=ONE)
        data = {"one.gz": gzip.compress(ONE), "set.tar.gz": tar(("one", ONE)), "set.zip": zipped(("one", ONE))}[name]
        for length in (0, 30, len(data) // 2, len(data) - 20):
            server.pages[name] = data[:length]
            self.refused(home, name)

    @pytest.mark.parametrize("name", ["one.gz", "set.tar.gz", "set.zip"])
    def test_altered(self, server, small, home, name):
        small([[name]], one=ONE)
        wrong = ONE[:-1] + b"!"
        pack = {"one.gz": gzip.compress, "set.tar.gz": lambda data: tar(("one", data))}
        server.pages[name] = pack.get(name, lambda data: zipped(("one", data)))(wrong)
        self.refused(home, "one has another SHA-256 than the authors' file")
        server.pages[name] = pack.get(name, lambda data: zipped(("one", data)))(ONE + b"!")
        self.refused(home, f"one holds more than its {len(ONE)} bytes")
        server.pages[name] = pack.get(name, lambda data: zipped(("one", data)))(ONE[:-1])
        self.refused(home, f"one holds {len(ONE) - 1} of {len(ONE)} bytes")

    @pytest.mark.parametrize("name", ["set.tar.gz", "set.zip"])
    def test_bytes_of_an_archive_flipped(self, server, small, home, name):
        small([[name]], one=ONE)
        good = {"set.tar.gz": tar(("one", ONE)), "set.zip": zipped(("one", ONE))}[name]
        for place in (0, 12, len(good) // 2, len(good) - 5):
            data = bytearray(good)
            data[place] ^= 0xFF
            server.pages[name] = bytes(data)
            try:
                fetch("mnist")
            except OSError:
                assert left_in(home) == []
            else:  # a byte that does not count, such as a time
                assert verify("mnist") == {"one": "ok"}
                (home / "mnist" / "one").unlink()
                (home / "mnist").rmdir()

    def test_another_page(self, server, small, home):
        for name in ("one.gz", "set.tar.gz", "set.zip"):
            small([[name]], one=ONE)
            server.pages[name] = b"<html>please sign in</html>"
            self.refused(home, name)

    def test_an_archive_without_the_file(self, server, small, home):
        small([["set.zip"]], one=ONE, two=TWO)
        server.pages["set.zip"] = zipped(("one", ONE))
        self.refused(home, "holds no two")

    def test_a_set_that_was_there_stays(self, server, small, home):
        folder = small([["one.gz"], ["two"]], one=ONE, two=TWO)
        write(folder / "two", TWO)
        server.pages["one.gz"] = gzip.compress(ONE)
        with pytest.raises(OSError, match="404"):
            fetch("mnist")
        assert left_in(home) == ["mnist/two"]
        assert verify("mnist") == {"one": "missing", "two": "ok"}

    def test_unknown(self):
        with pytest.raises(ValueError, match="no data set 'svhn'"):
            fetch("svhn")
        with pytest.raises(ValueError, match="no data set 'svhn'"):
            verify("svhn")


class TestUnsafe:
    """Archives that were made to do harm."""

    @pytest.mark.parametrize("path", ["../evil", "../../evil", "/tmp/tollad-evil", "a/../../evil"])
    @pytest.mark.parametrize(("name", "pack"), [("set.tar.gz", tar), ("set.zip", zipped)])
    def test_no_path_escapes(self, server, small, tmp_path, path, name, pack):
        small([[name]], one=ONE)
        server.pages[name] = pack((path, b"evil"), (f"{path}/../one", ONE))
        fetch("mnist")
        assert left_in(tmp_path) == ["sets/mnist/one"]

    @pytest.mark.parametrize(
        "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
    )
    def test_no_links_and_no_devices(self, server, small, tmp_path, kind):
        small([["set.tar.gz"]], one=ONE)
        write(tmp_path / "target", ONE)
        link = tarfile.TarInfo("one")
        link.type, link.linkname = kind, str(tmp_path / "target")
        server.pages["set.tar.gz"] = tar(link)
        with pytest.raises(OSError, match="holds no one"):
            fetch("mnist")
        assert left_in(tmp_path) == ["target"]

    @pytest.mark.parametrize("part", ["one", "other"])
    def test_gzip_bomb_in_a_tar(self, server, small, home, part, monkeypatch):
        """Neither a wanted file nor another one, nor a header, inflates beyond the limit."""
        monkeypatch.setattr(module, "_ROOM", 1 << 20)
        small([["set.tar.gz"]], one=ONE)
        server.pages["set.tar.gz"] = tar((part, bytes(1 << 24)), ("one", ONE))
        with pytest.raises(OSError, match=r"holds more than its|much longer than the authors' files"):
            fetch("mnist")
        assert left_in(home) == []

    def test_zip_bomb(self, server, small, home):
        small([["set.zip"]], one=ONE)
        server.pages["set.zip"] = zipped(("one", bytes(1 << 24)))
        with pytest.raises(OSError, match="holds more than its"):
            fetch("mnist")

    def test_an_answer_without_end(self, server, small, home, monkeypatch):
        monkeypatch.setattr(module, "_ROOM", 1 << 20)
        small([["one"]], one=ONE)

        def flood(handler):
            handler.send_response(200)
            handler.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(1000):
                    handler.wfile.write(bytes(1 << 20))

        server.pages["one"] = flood
        with pytest.raises(OSError, match="the answer is much longer than the authors' files"):
            fetch("mnist")
        assert left_in(home) == []

    def test_encrypted_zip(self, server, small, home):
        small([["set.zip"]], one=ONE)
        data = bytearray(zipped(("one", ONE)))
        data[6] |= 1  # the flag in the local header, and in the directory
        data[data.rindex(b"PK\x01\x02") + 8] |= 1
        server.pages["set.zip"] = bytes(data)
        with pytest.raises(OSError, match="no archive that can be read"):
            fetch("mnist")


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
from tollad.datasets.catalogue import CATALOGUE, Content
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
