"""Models and checkpoints as files: metadata and tensors, without knowledge of detectors or torch."""

from __future__ import annotations

import hmac
import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from tollad.io import files, packed
from tollad.warn import printable

T = TypeVar("T")
FileKind: TypeAlias = Literal["model", "image model", "method model", "checkpoint"]


def save(
    path: str | os.PathLike[str],
    kind: FileKind,
    metadata: Mapping[str, packed.JSON],
    tensors: Mapping[str, npt.NDArray[Any]],
    *,
    overwrite: bool = True,
) -> None:
    """Write a model or a checkpoint as one file, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        The file to write.
    kind : {"model", "image model", "method model", "checkpoint"}
        Kind of the content; `load` needs the same.
    metadata : mapping of str to JSON
        Plain values, see `tollad.io.packed.pack`. The key ``kind`` is reserved; ``versions`` is replaced by the
        versions of Python and the packages that write the file, so that metadata from `load` can be saved again.
    tensors : mapping of str to ndarray
        Arrays of any shape, see `tollad.io.packed.pack`.
    overwrite : bool, default=True
        Whether an existing file may be replaced.

    Raises
    ------
    ValueError, TypeError
        If metadata or tensors cannot be stored, see `tollad.io.packed.pack`.
    OSError
        If the file cannot be written, see `tollad.io.files.atomic_write`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> path = Path(tempfile.mkdtemp()) / "model.tollad"
    >>> save(path, "model", {"beta": 0.5}, {"weight": np.zeros((2, 3))})
    >>> metadata, tensors = load(path, "model")
    >>> metadata["beta"], sorted(metadata["versions"]), tensors["weight"].shape
    (0.5, ['numpy', 'python', 'scikit-learn', 'tollad', 'torch'], (2, 3))
    """
    if "kind" in metadata:
        raise ValueError("the name 'kind' is reserved for the file itself; choose another name")
    versions = {package: version(package) for package in ("tollad", "torch", "numpy", "scikit-learn")}
    versions["python"] = platform.python_version()
    data = packed.pack({"kind": kind, **metadata, "versions": versions}, tensors)
    with files.atomic_write(path, overwrite=overwrite) as file:
        file.write(data)


def load(
    path: str | os.PathLike[str], kind: FileKind, *, sha256: str | None = None
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Read a file written by `save`.

    Parameters
    ----------
    path : str or os.PathLike
        The file to read.
    kind : {"model", "image model", "method model", "checkpoint"}
        Kind of the content.
    sha256 : str, optional
        Expected digest of the file, see `tollad.io.packed.read_packed`.

    Returns
    -------
    metadata : dict of str to JSON
        As given to `save`, plus ``versions``: the versions of ``tollad``, ``torch``, ``numpy``, ``scikit-learn`` and
        ``python`` that wrote the file. The file's own bookkeeping is left out.
    tensors : dict of str to ndarray
        As given to `save`, sorted by name.

    Raises
    ------
    ValueError
        If the file is not a whole, unaltered tollad file, or is of another kind.
    OSError
        If the file cannot be read, see `tollad.io.files.open_regular`.
    """
    metadata, tensors = packed.read_packed(path, sha256=sha256)
    found = metadata.pop("kind", "unknown")
    if found != kind:
        raise ValueError(f"{os.fspath(path)} is a tollad file of kind {found!r:.40}; give a file of kind {kind!r}")
    versions = metadata.get("versions")
    if not isinstance(versions, dict) or not all(isinstance(text, str) for text in versions.values()):
        raise unknown(path, TypeError("no versions of what wrote it"))
    return metadata, tensors


def described(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the metadata of a file of any kind, including ``kind``. Errors as in `load`."""
    metadata, _ = packed.read_packed(path)
    return metadata


def under_prefix(tensors: Mapping[str, T], prefix: str) -> dict[str, T]:
    """Return the tensors whose names begin with a prefix, by their names without it.

    Examples
    --------
    >>> under_prefix({"stack.weight": 1, "stack.bias": 2, "adam.step": 3}, "stack.")
    {'weight': 1, 'bias': 2}
    """
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def seal(metadata: Mapping[str, Any], tensors: Mapping[str, npt.NDArray[Any]], key: str = "") -> str:
    """Return 64 hex digits that show that metadata and tensors belong together, for the metadata of `save`.

    The digest of a file does not show that its parts come from several files; a seal does. Without a `key` anybody can
    compute a seal; against that, see `load(..., sha256=...)`.
    """
    kept = {name: value for name, value in metadata.items() if name not in ("kind", "seal", "versions")}
    code = hmac.new(key.encode(), json.dumps(kept).encode(), "sha256")
    for name, array in sorted(tensors.items()):
        code.update(f"{name} {array.dtype} {array.shape}".encode())
        code.update(np.ascontiguousarray(array).data)
    return code.hexdigest()


def unknown(path: str | os.PathLike[str], error: Exception) -> ValueError:
    """Return the error for a model file whose content this version of tollad cannot read."""
    words = " ".join(str(error).split()) or type(error).__name__
    return ValueError(f"{os.fspath(path)}: is no model that this tollad knows ({printable(words):.200}); fit it again")


@contextmanager
def understood(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn any error within the block into that of `unknown`. The block interprets the content of a file.

    Content with a correct digest may still be anything, and so it may raise any error.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise unknown(path, error) from error
