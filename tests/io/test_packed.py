"""Laws of packed tensors and metadata: what goes in comes out, and no byte may change unnoticed."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pickle
import string
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tollad.io import packed
from tollad.io.packed import pack, unpack

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
def test_round_trip(metadata: dict[str, packed.JSON], tensors: dict[str, np.ndarray]) -> None:
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
    assert stored["format"] == packed.FORMAT == 2
    assert stored["sha256"] == PACKED[DIGEST_START : DIGEST_START + 64].decode()
    assert seal(PACKED) == PACKED


def test_bytes_do_not_depend_on_the_process_or_the_order_of_tensors() -> None:
    code = (
        "import sys, numpy as np\n"
        "from tollad.io.packed import pack\n"
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
def test_reserved_names(metadata: dict[str, packed.JSON], tensors: dict[str, np.ndarray], name: str) -> None:
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
        (b"\x08\x08\x12\x06tollad" + bytes(99), "is an ONNX file, not a tollad model file; give the model"),
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
        ({"versions": {"tollad": "7.1"}}, "format 3, written by tollad 7.1, .* up to 2; upgrade tollad"),
        ({"versions": {}}, "written by a newer tollad, .* upgrade tollad"),
        ({"versions": "7.1"}, "written by a newer tollad, .* upgrade tollad"),
    ],
)
def test_newer_format(monkeypatch: pytest.MonkeyPatch, metadata: dict[str, packed.JSON], words: str) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(packed, "FORMAT", 3)
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
