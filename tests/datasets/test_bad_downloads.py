"""Downloads that are refused: absent, truncated, altered, or made to do harm."""

from __future__ import annotations

import gzip
import tarfile
from contextlib import suppress
from dataclasses import replace

import pytest
from datasets.served import ONE, TWO, cut, left_in, tar, zipped
from datasets.written import write

from tollad.datasets import fetch as module
from tollad.datasets.catalogue import CATALOGUE
from tollad.datasets.fetch import fetch, verify

pytest.importorskip("pooch", reason="needs pooch, of the extra data")
pytest.importorskip("tqdm", reason="needs tqdm, of the extra data")


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
