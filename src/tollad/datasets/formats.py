"""Readers of the formats in which the authors of the benchmark sets publish them.

IDX (MNIST, Fashion-MNIST), the binary version of CIFAR and the text of UCI's Arrhythmia. Every file may be gzipped,
which is told by its first bytes and not by its name. Nothing is unpickled.
"""

from __future__ import annotations

import math
import os
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.io.idx import ByteArray, PathLike, read_content, read_idx

Labels: TypeAlias = NDArray[np.int64]
Samples: TypeAlias = NDArray[np.float64]

N_ATTRIBUTES = 279
"""Number of attributes in a row of Arrhythmia, before the class."""


def read_idx_pair(images: PathLike, labels: PathLike) -> tuple[ByteArray, Labels]:
    """Read an IDX file of images and the one of their labels, which are 0 to 9.

    Parameters
    ----------
    images, labels : str or os.PathLike
        The two files, gzipped or not.

    Returns
    -------
    images : ndarray of uint8, shape (n, height, width)
    labels : ndarray of int64, shape (n,)

    Raises
    ------
    FileNotFoundError
        If one of the files does not exist.
    ValueError
        As `read_idx`; or if the files are not of three dimensions and of one, hold different numbers of images, or a
        label is out of range.
    """
    pixels, classes = read_idx(images), read_idx(labels)
    for path, values, kind, n_dims in ((images, pixels, "images", 3), (labels, classes, "labels", 1)):
        if values.ndim != n_dims:
            raise ValueError(
                f"{os.fspath(path)} has {values.ndim} dimensions, and {kind} have {n_dims}: is it another file of the "
                "set under this name? download it again"
            )
    if len(pixels) != len(classes):
        raise ValueError(
            f"{os.fspath(labels)} holds {len(classes)} labels for the {len(pixels)} images of {os.fspath(images)}; "
            "download them again"
        )
    return pixels, _checked_labels(labels, classes, 10)


def read_cifar10(path: PathLike) -> tuple[ByteArray, Labels]:
    """Read one file of CIFAR-10's binary version: records of a label and 3072 bytes.

    Parameters
    ----------
    path : str or os.PathLike
        Such as ``data_batch_1.bin``, gzipped or not.

    Returns
    -------
    images : ndarray of uint8, shape (n, 3, 32, 32)
        Channels are red, green, blue.
    labels : ndarray of int64, shape (n,)
        0 to 9.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, its length is no multiple of 3073 bytes, or a label is out of range.
    """
    labels, images = _read_cifar(path, n_labels=1)
    return images, _checked_labels(path, labels[:, 0], 10)


def read_cifar100(path: PathLike) -> tuple[ByteArray, Labels, Labels]:
    """Read one file of CIFAR-100's binary version: records of a coarse label, a fine label and 3072 bytes.

    Parameters
    ----------
    path : str or os.PathLike
        ``train.bin`` or ``test.bin``, gzipped or not.

    Returns
    -------
    images : ndarray of uint8, shape (n, 3, 32, 32)
        Channels are red, green, blue.
    fine, coarse : ndarray of int64, shape (n,)
        Classes 0 to 99, and superclasses 0 to 19.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is empty, its length is no multiple of 3074 bytes, or a label is out of range.
    """
    labels, images = _read_cifar(path, n_labels=2)
    return images, _checked_labels(path, labels[:, 1], 100), _checked_labels(path, labels[:, 0], 20)


def read_arrhythmia(path: PathLike) -> tuple[Samples, Labels]:
    """Read UCI's ``arrhythmia.data``: lines of 279 attributes and the class, separated by commas.

    Parameters
    ----------
    path : str or os.PathLike
        The file, gzipped or not.

    Returns
    -------
    rows : ndarray of float64, shape (n, 279)
        ``?`` is NaN.
    labels : ndarray of int64, shape (n,)
        Classes 1 to 16.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If there is no line, or a line holds another number of values, a value that is neither a finite number nor
        ``?``, or a class out of range.
    """
    name = os.fspath(path)
    # Characters that are not ASCII cannot be part of a number, and are reported with line and column.
    lines = read_content(path).decode("ascii", errors="replace").splitlines()
    values = [_arrhythmia_row(name, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not values:
        raise ValueError(f"{name} holds no rows; download it again")
    table = np.array(values)
    return table[:, :-1], table[:, -1].astype(np.int64)


def _arrhythmia_row(name: str, number: int, line: str) -> list[float]:
    texts = line.split(",")
    where = f"{name}, line {number}"
    if len(texts) != N_ATTRIBUTES + 1:
        raise ValueError(f"{where} holds {len(texts)} values and not {N_ATTRIBUTES + 1}; download it again")
    values = [_number(text, f"{where}, value {column}") for column, text in enumerate(texts, 1)]
    if values[-1] not in range(1, 17):
        raise ValueError(f"{where} has the class {texts[-1].strip()!r}, and classes are 1 to 16; download it again")
    return values


def _number(text: str, where: str) -> float:
    if text.strip() == "?":
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where} is {text.strip()!r}, neither a number nor '?'; download it again")
    return value


def _read_cifar(path: PathLike, n_labels: int) -> tuple[ByteArray, ByteArray]:
    """Return labels, (n, `n_labels`), and images, (n, 3, 32, 32), of a file of records."""
    content, length = read_content(path), n_labels + 3072
    if not content or len(content) % length:
        raise ValueError(
            f"{os.fspath(path)} holds {len(content)} bytes, and its records have {length} each: it is cut short, or "
            "not of the binary version of CIFAR; download it again"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, length)
    return records[:, :n_labels], records[:, n_labels:].reshape(-1, 3, 32, 32)


def _checked_labels(path: PathLike, labels: ByteArray, n_classes: int) -> Labels:
    if (wrong := np.flatnonzero(labels >= n_classes)).size:
        raise ValueError(
            f"{os.fspath(path)} gives image {wrong[0]} the label {labels[wrong[0]]}, and labels are 0 to "
            f"{n_classes - 1}; download it again"
        )
    return labels.astype(np.int64)
