"""Laws of tollad.io.files: a whole file or none, and no byte of a file may change unnoticed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import pickle
import signal
import stat
import string
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tollad.io import files
from tollad.io.files import atomic_write, pack, read_bytes, unpack

METADATA = {"versions": {"tollad": "0.1.0"}, "beta": 0.5, "columns": ["größe", 'a"b\\c'], "scale": None}
TENSORS = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "mask": np.array([True, False])}
PACKED = pack(METADATA, TENSORS)
DIGEST_START = len(b'12345678{"__metadata__":{"tollad":"{\\"sha256\\":\\"')


def seal(data: bytes) -> bytes:
    """Write the right digest into altered bytes; the rule of the format, written a second time."""
    head, tail = data[:DIGEST_START], data[DIGEST_START + 64 :]
    return head + hashlib.sha256(head + b"0" * 64 + tail).hexdigest().encode() + tail


def frame(header: bytes, body: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + body


def refusal(data: bytes) -> str:
    with pytest.raises(ValueError, match=r"^model\.tollad ") as caught:
        unpack(data, name="model.tollad")
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- atomic_write -----------------------------------------------------------------------------------------------------


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


# --- read_bytes -------------------------------------------------------------------------------------------------------


def test_read_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "größe"
    path.write_bytes(b"x")
    assert read_bytes(path) == read_bytes(str(path)) == b"x"
    with pytest.raises(FileNotFoundError, match=r"cannot read .*absent: there is no such file"):
        read_bytes(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        read_bytes(path / "below a file")
    with pytest.raises(IsADirectoryError, match="it is a folder"):
        read_bytes(tmp_path)

    def refuse(_: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(PermissionError, match=r"größe: no permission to read"):
        read_bytes(path)


# --- pack and unpack: what goes in comes out --------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
arrays = st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
)
names = st.text(string.ascii_letters + string.digits + '._-"\\ é模', max_size=10)


@given(
    metadata=st.dictionaries(st.text().filter(lambda key: key not in {"sha256", "format"}), json_values, max_size=3),
    tensors=st.dictionaries(names, arrays, max_size=3),
)
def test_round_trip(metadata: dict[str, files.JSON], tensors: dict[str, np.ndarray]) -> None:
    data = pack(metadata, tensors)
    found_metadata, found = unpack(data, name="model.tollad")
    assert found_metadata == metadata
    assert list(found_metadata) == list(metadata)
    assert list(found) == sorted(tensors)
    for name, array in tensors.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()  # bitwise: NaN payloads and signed zeros too
    assert pack(found_metadata, found) == data


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1),
        np.arange(10)[::2],
        np.arange(10)[::-1],
        np.broadcast_to(np.float32(2), (3, 2)),
        np.arange(3, dtype=">i4"),
        np.array(1.5),
        np.arange(4, dtype=np.float16),
    ],
    ids=["fortran", "transposed", "strided", "reversed", "broadcast", "big-endian", "0-d", "float16"],
)
def test_memory_layout_does_not_matter(array: np.ndarray) -> None:
    _, tensors = unpack(pack({}, {"a": array}), name="model.tollad")
    np.testing.assert_array_equal(tensors["a"], array, strict=array.dtype.isnative)
    assert pack({}, {"a": array}) == pack({}, {"a": array.copy(order="C")})


def test_file_is_plain_safetensors_with_one_metadata_key() -> None:
    np.testing.assert_array_equal(safetensors.numpy.load(PACKED)["weight"], TENSORS["weight"])
    header = json.loads(PACKED[8 : 8 + int.from_bytes(PACKED[:8], "little")])
    assert list(header["__metadata__"]) == ["tollad"]
    stored = json.loads(header["__metadata__"]["tollad"])
    assert list(stored) == ["sha256", "format", *METADATA]
    assert stored["format"] == files.FORMAT == 1
    assert stored["sha256"] == PACKED[DIGEST_START : DIGEST_START + 64].decode()
    assert seal(PACKED) == PACKED


def test_bytes_do_not_depend_on_the_process_or_the_order_of_tensors() -> None:
    code = (
        "import sys, numpy as np\n"
        "from tollad.io.files import pack\n"
        "tensors = {name: np.arange(3.0) for name in 'hgfedcba'}\n"
        "sys.stdout.buffer.write(pack({'b': 1, 'a': {'d': 2, 'c': 3}}, tensors))\n"
    )
    outputs = [
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env={**os.environ, **seed}).stdout
        for seed in ({"PYTHONHASHSEED": "1"}, {"PYTHONHASHSEED": "2"})
    ]
    here = pack({"b": 1, "a": {"d": 2, "c": 3}}, {name: np.arange(3.0) for name in "abcdefgh"})
    assert outputs == [here, here]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_metadata_must_be_strict_json(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        pack({"nested": [{"beta": number}]}, {})


@pytest.mark.parametrize(
    ("metadata", "tensors", "name"),
    [
        ({"sha256": ""}, {}, "sha256"),
        ({"format": 1}, {}, "format"),
        ({}, {"__metadata__": np.zeros(1)}, "__metadata__"),
    ],
)
def test_reserved_names(metadata: dict[str, files.JSON], tensors: dict[str, np.ndarray], name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is reserved"):
        pack(metadata, tensors)


@pytest.mark.parametrize(
    "array",
    [
        np.array(["a"]),
        np.array([None]),
        np.zeros(2, dtype="M8[s]"),
        np.zeros(2, np.complex64),
        np.zeros(2, np.longdouble),
    ],
    ids=["text", "object", "date", "complex", "long double"],
)
def test_dtypes_that_are_refused(array: np.ndarray) -> None:
    with pytest.raises(TypeError, match="tensor 'a' has dtype"):
        pack({}, {"a": array})


def test_metadata_too_long_to_be_read_back() -> None:
    with pytest.raises(ValueError, match="the metadata take 40000"):
        pack({"columns": "c" * 40_000_000}, {})


@pytest.mark.slow
def test_longest_metadata_are_read_back() -> None:
    metadata = {"columns": '"' * 19_999_000}  # escaped twice: the longest header for a length of the metadata
    assert unpack(pack(metadata, {}), name="model.tollad")[0] == metadata


# --- unpack: what is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0xFF, *(1 << bit for bit in range(8))])
def test_every_flipped_byte_is_noticed(mask: int) -> None:
    for position in range(len(PACKED)):
        data = bytearray(PACKED)
        data[position] ^= mask
        refusal(bytes(data))


def test_every_truncation_is_noticed() -> None:
    reasons = [refusal(PACKED[:length]) for length in range(len(PACKED))]
    assert "is empty" in reasons[0]
    header = 8 + int.from_bytes(PACKED[:8], "little")
    assert all("is truncated" in reason for reason in reasons[9:])
    assert f"{header} of {len(PACKED)} bytes" in reasons[header]


def test_appended_and_altered_bytes_are_told_from_truncated_ones() -> None:
    assert "was altered" in refusal(PACKED + b"\0")
    assert "was altered" in refusal(PACKED[:-1] + bytes([PACKED[-1] ^ 1]))
    assert "was altered" in refusal(PACKED.replace(b"0.5", b"0.6"))


def torch_archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        *((pickle.dumps({"weight": list(range(99))}, protocol), "never unpickles") for protocol in range(2, 6)),
        (torch_archive(), "never unpickles"),
        (b"x,y\n1.5,2\n", "is not a tollad model file, it looks like text"),
        ("größe;länge\n".encode("latin-1"), "it looks like text"),
        (b"\xef\xbb\xbfid,value\r\n", "it looks like text"),
        (b'{"a": 1, {"b": 2}}', "it looks like text"),
        (b"\x01", "is truncated"),
        (safetensors.numpy.save({"a": np.zeros(3)})[:-8], "safetensors file, but not one that tollad wrote"),
        (safetensors.numpy.save({"a": np.zeros(3)})[:20], "is truncated"),
        (safetensors.numpy.save({"a": np.zeros(3)}), "safetensors file, but not one that tollad wrote"),
        (safetensors.numpy.save({}, {"tollad": "1"}), "safetensors file, but not one that tollad wrote"),
        (safetensors.numpy.save({}, {"a": "b" * (0x480 - 30)}), "safetensors file, but not one that tollad wrote"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "is not a tollad model file; give"),
        (b"\x93NUMPY\x01\x00v\x00" + bytes(99), "is not a tollad model file; give"),
    ],
)
def test_foreign_bytes(data: bytes, words: str) -> None:
    assert words in refusal(data)


@pytest.mark.parametrize("magic", [b"\x80", b"PK"])
def test_header_length_that_looks_like_a_pickle_or_zip(magic: bytes) -> None:
    """The first bytes of a tollad file are a length, so some files begin just like a pickle or a zip archive."""
    wanted = int.from_bytes(magic.ljust(2, b"\x01"), "little")
    shortest = int.from_bytes(pack({"a": ""}, {})[:8], "little")
    metadata = {"a": "x" * (wanted - shortest)}
    data = pack(metadata, {})
    assert data.startswith(magic)
    assert unpack(data, name="model.tollad") == (metadata, {})


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"versions": {"tollad": "7.1"}}, "format 2, written by tollad 7.1, .* up to 1; upgrade tollad"),
        ({"versions": {}}, "written by a newer tollad, .* upgrade tollad"),
        ({"versions": "7.1"}, "written by a newer tollad, .* upgrade tollad"),
    ],
)
def test_newer_format(monkeypatch: pytest.MonkeyPatch, metadata: dict[str, files.JSON], words: str) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(files, "FORMAT", 2)
        data = pack(metadata, {})
    with pytest.raises(ValueError, match=words):
        unpack(data, name="model.tollad")


def test_huge_header_length_takes_no_memory() -> None:
    for length in (2**64 - 1, 2**63, 2**40, 2**31):
        data = length.to_bytes(8, "little") + PACKED[8:]
        tracemalloc.start()
        refusal(data)
        refusal(seal(data))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1_000_000


def sealed_header(text: str, tensors: str = "", body: bytes = b"") -> bytes:
    """A file with the right digest and any metadata text and tensor table after the digest."""
    start = PACKED[8:DIGEST_START] + b"0" * 64
    return seal(frame(start + json.dumps(text)[1:-1].encode() + b'"}' + tensors.encode() + b"}", body))


@pytest.mark.parametrize(
    "data",
    [
        sealed_header('"'),
        sealed_header('"}'),
        sealed_header('","format":0}'),
        sealed_header('","format":"1"}'),
        sealed_header('","format":null}'),
        sealed_header('","format":1,"deep":' + "[" * 100_000),
        sealed_header('","format":1}', ',"__metadata__":[]'),
        sealed_header('","format":1}', ',"__metadata__":{}'),
        sealed_header('","format":1}', ',"__metadata__":{"tollad":"[]"}'),
        sealed_header('","format":1}', ',"__metadata__":{"tollad":1}'),
        sealed_header('","format":1}', ',"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}', b"0"),
        sealed_header('","format":1}', ',"a":{"dtype":"F64","shape":[0,9223372036854775808],"data_offsets":[0,0]}'),
        sealed_header(
            '","format":1}', ',"a":{"dtype":"F64","shape":[' + "1," * 99 + '1],"data_offsets":[0,8]}', b"0" * 8
        ),
        sealed_header('","format":1}', ',"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}'),
        sealed_header('","format":1}', ',"a":{"dtype":"F64","shape":[1],"data_offsets":[0,' + "9" * 5000 + "]}"),
        sealed_header('","format":1}', ',"a":' + "[" * 100_000),
    ],
)
def test_right_digest_over_wrong_content(data: bytes) -> None:
    assert "not laid out as a tollad model file" in refusal(data)


def test_sealed_header_is_otherwise_right() -> None:
    table = ',"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}'
    metadata, tensors = unpack(sealed_header('","format":1,"b":2}', table, bytes(8)), name="model.tollad")
    assert metadata == {"b": 2}
    assert tensors["a"].tolist() == [0.0]


@given(data=st.binary(max_size=300), start=st.sampled_from([b"", PACKED[:8], PACKED[:DIGEST_START], PACKED[:200]]))
def test_random_bytes_are_refused(data: bytes, start: bytes) -> None:
    refusal(start + data)


@given(
    begin=st.integers(0, len(PACKED)),
    removed=st.integers(0, 50),
    inserted=st.binary(max_size=50) | st.text('{}[]":,0123456789\\FU', max_size=20).map(str.encode),
)
def test_any_edit_is_refused_and_sealed_edits_raise_nothing_else(begin: int, removed: int, inserted: bytes) -> None:
    data = PACKED[:begin] + inserted + PACKED[begin + removed :]
    if data != PACKED:
        refusal(data)
    with contextlib.suppress(ValueError):  # any other exception fails the test
        unpack(seal(data), name="model.tollad")
