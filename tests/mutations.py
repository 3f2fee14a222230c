"""Seeded mutations of tollad files, each with a right digest: what a broken writer or a hostile one could make."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tollad.io.packed import pack

VALUES: list[Any] = [
    *(None, True, False, -1, 0, 1, 2, 3, 10**9, 2**63, 10**400, -0.5, 0.5, 1e-300, 1e300, 1.5),
    *("", "x", "auto", "custom", "mlp", "conv28", "mixed", "1", "\x1b[2J", "x" * 10_000),
    *([], {}, [1], [None], [[]], {"a": 1}, [0] * 1000, [10**9], [1, 2, 3]),
]
NUMBERS = [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300, 1e-300, 1e30, 7.0]
TYPES = [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8, np.bool_]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to each value within JSON values."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*path, key))


def mutate(metadata: dict[str, Any], tensors: dict[str, NDArray[Any]], rng: np.random.Generator) -> tuple[str, bytes]:
    """Return what was done, and the content of the file."""
    metadata, tensors = copy.deepcopy(metadata), {name: array.copy() for name, array in tensors.items()}
    if rng.random() < 0.1:
        return _bytes(pack(metadata, tensors), rng)
    return change(metadata, tensors, rng), pack(metadata, tensors)


def change(metadata: dict[str, Any], tensors: dict[str, NDArray[Any]], rng: np.random.Generator) -> str:
    """Change one value, key, tensor or number in place; return what was done."""
    kind = rng.choice(["value", "key", "tensor", "number"], p=[4 / 9, 1 / 9, 2 / 9, 2 / 9])
    what = {"value": _value, "key": _key, "tensor": _tensor, "number": _number}[kind](metadata, tensors, rng)
    return f"{kind}: {what}"


def _parent(metadata: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        metadata = metadata[key]
    return metadata


def _chosen(metadata: dict[str, Any], rng: np.random.Generator) -> tuple[Any, ...]:
    """A place, each top-level key with the same probability: a history has thousands of numbers."""
    key = list(metadata)[rng.integers(len(metadata))]
    inner = [(key, *path) for path in [(), *places(metadata[key])]]
    return inner[rng.integers(len(inner))]


def _value(metadata: dict[str, Any], tensors: Any, rng: np.random.Generator) -> str:
    path = _chosen(metadata, rng)
    value = VALUES[rng.integers(len(VALUES))]
    _parent(metadata, path)[path[-1]] = copy.deepcopy(value)
    return f"{path} = {value!r:.40}"


def _key(metadata: dict[str, Any], tensors: Any, rng: np.random.Generator) -> str:
    path = _chosen(metadata, rng)
    parent = _parent(metadata, path)
    if rng.random() < 0.7:
        del parent[path[-1]]
        return f"no {path}"
    if isinstance(parent, list):
        parent.append(copy.deepcopy(parent[path[-1]]))
    else:
        parent["more"] = 1
    return f"more beside {path}"


def _tensor(metadata: Any, tensors: dict[str, NDArray[Any]], rng: np.random.Generator) -> str:
    name = list(tensors)[rng.integers(len(tensors))]
    array = tensors[name]
    change = rng.integers(8)
    if change == 0:
        del tensors[name]
    elif change == 1:
        tensors[name + "x"] = tensors.pop(name)
    elif change == 2:
        tensors[name] = np.nan_to_num(array).astype(TYPES[rng.integers(len(TYPES))])
    elif change == 3:
        tensors[name] = array.T.copy() if array.ndim > 1 else array[None]
    elif change == 4:
        tensors[name] = array[: len(array) // 2] if array.ndim else array[None]
    elif change == 5:
        tensors[name] = np.concatenate([array, array]) if array.ndim else array[None]
    elif change == 6:
        tensors[name] = tensors[list(tensors)[rng.integers(len(tensors))]]
    else:
        tensors[name] = np.zeros((0, *array.shape), array.dtype)
    return f"{name}, change {change}"


def _number(metadata: Any, tensors: dict[str, NDArray[Any]], rng: np.random.Generator) -> str:
    name = list(tensors)[rng.integers(len(tensors))]
    array = tensors[name]
    if not array.size:
        return f"{name} is empty"
    value = NUMBERS[rng.integers(len(NUMBERS))]
    with np.errstate(all="ignore"):
        if rng.random() < 0.3:
            array[...] = np.asarray(value).astype(array.dtype)
        else:
            array.reshape(-1)[rng.integers(array.size)] = np.asarray(value).astype(array.dtype)
    return f"{name} = {value}"


def _bytes(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Change bytes, mostly of the header, and write the right digest."""
    changed = bytearray(data)
    end = 8 + int.from_bytes(data[:8], "little")
    places = rng.integers(end if rng.random() < 0.7 else len(data), size=rng.integers(1, 4))
    for place in places:
        changed[place] = rng.integers(256) if rng.random() < 0.5 else ord(rng.choice(list('0123456789"[]{},:-e')))
    start = data.index(b"sha256") + len(b'sha256\\":\\"')
    changed[start : start + 64] = b"0" * 64
    changed[start : start + 64] = hashlib.sha256(changed).hexdigest().encode()
    return f"bytes {places.tolist()}", bytes(changed)
