"""A whole file or none: writing and reading of single files."""

from __future__ import annotations

import errno
import io
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tollad.io.files import atomic_write, open_regular


def test_a_file_appears_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "scores.bin"
    with atomic_write(path) as file:
        file.write(b"new")
        assert not path.exists()
        (temporary,) = tmp_path.iterdir()
        assert temporary.name.startswith(".scores.bin.")
        assert temporary.name.endswith(".tmp")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_text_wrapper_may_close_the_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    with atomic_write(path) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        text.write("größe\n")
    assert path.read_bytes() == "größe\n".encode()


def test_bytes_are_on_disk_before_the_renaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model"
    sizes = []

    def fsync(descriptor: int) -> None:
        sizes.append((os.fstat(descriptor).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(path) as file:
        file.write(b"12345")
    assert sizes == [(5, False)]


@pytest.mark.parametrize("exception", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", [None, b"old"])
def test_exception_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, exception: type[BaseException], old: bytes | None
) -> None:
    path = tmp_path / "model"
    if old is not None:
        path.write_bytes(old)

    def write_half() -> None:
        with atomic_write(path) as file:
            file.write(b"half")
            raise exception

    with pytest.raises(exception):
        write_half()
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([] if old is None else [old])


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"old")
    code = (
        "import os, signal, sys\n"
        "from tollad.io.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as file:\n"
        "    file.write(b'half'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_full_disk_names_the_file_and_keeps_errno(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, number: int
) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        with (
            pytest.raises(OSError, match=r"^cannot write .*model: the disk is full") as caught,
            atomic_write(path) as f,
        ):
            f.write(b"new")
    assert caught.value.errno == number
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="needs /proc")
def test_a_folder_that_takes_no_files_is_named_and_not_the_hidden_file() -> None:
    words = "^cannot write /proc/x.csv: its folder takes no new file (.*); choose another folder$"
    with pytest.raises(OSError, match=words) as caught, atomic_write("/proc/x.csv"):
        pass
    assert caught.value.errno is not None


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_really_full_device(tmp_path: Path) -> None:
    def write() -> None:
        with open("/dev/full", "wb") as full, atomic_write(tmp_path / "model") as file:
            os.dup2(full.fileno(), file.fileno())
            file.write(b"new")

    with pytest.raises(OSError, match="the disk is full") as caught:
        write()
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_other_system_errors_pass_unchanged(tmp_path: Path) -> None:
    error = OSError(errno.EIO, "input/output error")
    with pytest.raises(OSError, match="input/output error") as caught, atomic_write(tmp_path / "model"):
        raise error
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def umask() -> Iterator[None]:
    old = os.umask(0o027)
    yield
    os.umask(old)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
@pytest.mark.usefixtures("umask")
def test_permissions_are_those_of_a_plain_open(tmp_path: Path) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    old.touch()
    old.chmod(0o604)
    for path in (new, old):
        with atomic_write(path) as file:
            file.write(b"x")
    assert stat.S_IMODE(new.stat().st_mode) == 0o640
    assert stat.S_IMODE(old.stat().st_mode) == 0o604


def test_existing_file_is_refused_before_the_block_runs(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(b"old")
    with (
        pytest.raises(FileExistsError, match=r"model already exists; replace it with overwrite=True, or choose"),
        atomic_write(path, overwrite=False),
    ):
        pytest.fail("the block ran")
    assert path.read_bytes() == b"old"
    with atomic_write(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_file_that_came_into_being_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with pytest.raises(FileExistsError, match="overwrite=True"), atomic_write(path, overwrite=False):
        path.write_bytes(b"first")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_overwrite_false_writes_a_new_file(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "model", overwrite=False) as file:
        file.write(b"new")
    assert (tmp_path / "model").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["größe 模型.tollad", "🙂", ".hidden", "n" * 255, "é" * 127, "-f", "a\nb"])
def test_names(tmp_path: Path, name: str) -> None:
    with atomic_write(tmp_path / name) as file:
        file.write(b"x")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_relative_string_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with atomic_write("model") as file:
        file.write(b"x")
    assert (tmp_path / "model").read_bytes() == b"x"


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder .*models; create it"), atomic_write(tmp_path / "models/m"):
        pytest.fail("the block ran")


def test_folder_as_target(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="it is a folder; give the name of a file"), atomic_write(tmp_path):
        pytest.fail("the block ran")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX devices")
def test_device_is_never_replaced() -> None:
    with pytest.raises(OSError, match="/dev/null: it is a device"), atomic_write("/dev/null"):
        pytest.fail("the block ran")


@pytest.mark.parametrize(
    ("refused", "words"), [("model", "model: the file is read-only"), (".", "no permission to create files in")]
)
def test_missing_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str, words: str) -> None:
    """os.access is replaced, since it grants everything to a superuser, who may run the tests."""
    path = tmp_path / "model"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda asked, _: asked != tmp_path / refused)
    with pytest.raises(PermissionError, match=words), atomic_write(path):
        pytest.fail("the block ran")
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(os.name == "nt", reason="links need privileges")
def test_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    real, link = tmp_path / "runs" / "model", tmp_path / "latest"
    link.symlink_to(real)
    for content in (b"first", b"second"):
        with atomic_write(link) as file:
            file.write(content)
        assert link.is_symlink()
        assert real.read_bytes() == content


def test_two_writers_each_write_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write(b"1" * 10_000)
        second.write(b"2" * 20_000)
    assert path.read_bytes() == b"1" * 10_000  # the outer block ends last
    assert list(tmp_path.iterdir()) == [path]


def test_concurrent_writers_never_mix(tmp_path: Path) -> None:
    path = tmp_path / "model"
    contents = [bytes([letter]) * 50_000 for letter in b"abcd"]

    def write(content: bytes) -> None:
        for _ in range(10):
            with atomic_write(path) as file:
                file.write(content)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert not path.exists() or path.read_bytes() in contents
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_open_regular(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "größe"
    path.write_bytes(b"x")
    for name in (path, str(path)):
        with open_regular(name) as file:
            assert file.read() == b"x"

    def refused(name: Path, kind: type[OSError], words: str) -> None:
        with pytest.raises(kind, match=words), open_regular(name):
            pass

    refused(tmp_path / "absent", FileNotFoundError, r"cannot read .*absent: there is no such file")
    refused(path / "below a file", FileNotFoundError, "there is no such file")
    refused(tmp_path, IsADirectoryError, "it is a folder")
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path / "pipe", Path("/dev/zero")):  # either would be read for ever
        refused(name, OSError, f"cannot read {name}: it is a device or a pipe; give the name of a file")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    refused(path, PermissionError, r"größe: no permission to read")
