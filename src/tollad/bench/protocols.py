"""Protocols: which class is normal, which rows train, validate and test, and how they are preprocessed.

A protocol is a public function that returns a `Task`. Where the paper's text and its authors' code differ, the code is
followed: it made the published numbers. All splits come from ``numpy.random.RandomState``, whose numbers are the same
in every version of NumPy.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tollad.bench.images import (
    Indices,
    class_names,
    fixed,
    image_preprocessing,
    images_of,
    load_images,
    training_indices,
    validation_of,
)
from tollad.bench.preprocessing import Preprocessing, standardising
from tollad.datasets.adbench import read_npz
from tollad.datasets.catalogue import data_set, load
from tollad.datasets.files import data_dir

ARRHYTHMIA_ANOMALIES = (3, 4, 5, 7, 8, 9, 14, 15)
"""The classes of Arrhythmia that are anomalies: 66 of the 452 rows."""

# UCI's columns 11 to 15, the only columns with missing values.
_INCOMPLETE = slice(10, 15)


@dataclass(frozen=True, eq=False)
class Task:
    """The rows of one experiment. All arrays are read-only; those of the same images are shared between tasks.

    Attributes
    ----------
    name : str
        Protocol, data set and choice, such as ``"one_class/cifar10/1"``.
    train : ndarray, shape (n, ...)
        Normal rows, except in `alad_half`: uint8 (n, channels, height, width), or float64 (n, d).
    validation, validation_labels : ndarray or None
        Rows for selecting a checkpoint, and their labels, int64 (n,), 1 = anomaly. None if the protocol has no
        validation.
    test, test_labels : ndarray
        Rows, and their labels, int64 (n,), 1 = anomaly.
    preprocessing : Preprocessing
    metric : {"auroc", "f1"}
    cut : float or None
        For F1, the share of rows called normal: the ``round(cut * n)`` lowest scores.

    Examples
    --------
    >>> np.savez("rows.npz", X=np.arange(40.0).reshape(20, 2), y=np.arange(20) >= 15)
    >>> task = make_task("random_half", "rows.npz")
    >>> task.name, task.metric
    ('random_half/rows/0', 'auroc')
    """

    name: str
    train: NDArray[Any]
    validation: NDArray[Any] | None
    validation_labels: Indices | None
    test: NDArray[Any]
    test_labels: Indices
    preprocessing: Preprocessing
    metric: Literal["auroc", "f1"]
    cut: float | None = None


def one_class(dataset: str, normal: int) -> Task:
    """One class of images is normal, as in Tables 1 to 3, 7 and 8.

    Validation and test rows are of all classes. So most are anomalies, of the same classes in both.

    Parameters
    ----------
    dataset : {"mnist", "fashion_mnist", "cifar10", "cifar100"}
    normal : int
        The normal class; for CIFAR-100 the superclass, 0 to 19.

    Returns
    -------
    Task
        `train`: the training images of the normal class, without those used for validation. `validation`: 10,000
        training images. `test`: the official test images. The metric is AUROC.

    Raises
    ------
    FileNotFoundError
        If the data set is missing; the message says how to get it.
    ValueError
        If the set is unknown or holds no images, or has no such class, or a file is not the authors'.
    """
    images_of(dataset, "protocol one_class")
    names = class_names(dataset)
    if normal not in range(len(names)):
        raise ValueError(f"{dataset} has no class {normal}; its classes are 0 to {len(names) - 1}")
    images, labels = load_images(dataset, "train")
    test, test_labels = load_images(dataset, "test")
    validation, validation_images = validation_of(dataset, data_dir())
    return Task(
        name=f"one_class/{dataset}/{normal}",
        train=fixed(images[training_indices(labels, validation, normal)]),
        validation=validation_images,
        validation_labels=_is_not(labels[validation], normal),
        test=test,
        test_labels=_is_not(test_labels, normal),
        preprocessing=image_preprocessing(dataset, normal),
        metric="auroc",
    )


def official_split(dataset: str) -> Task:
    """Arrhythmia as the authors' code splits it for Table 4. The split is the same for every seed.

    Parameters
    ----------
    dataset : {"arrhythmia"}

    Returns
    -------
    Task
        232 normal rows train; validation and test have 77 normal rows and 13 anomalies each. Raw values. The metric is
        F1 with 85.4 % of the rows called normal.

    Raises
    ------
    FileNotFoundError
        If the data set is missing; the message says how to get it.
    ValueError
        If it is another set, or a file is not the authors'.
    """
    return _arrhythmia_fifths("official_split", dataset, 300)


def random_split(dataset: str, seed: int = 0) -> Task:
    """Arrhythmia in the proportions of `official_split`, split by `seed`, an int in [0, 2**32).

    Errors as in `official_split`, and ValueError for a seed out of range.
    """
    return _arrhythmia_fifths(f"random_split/{seed}", dataset, seed)


def alad(dataset: str, seed: int = 0) -> Task:
    """Arrhythmia as in ALAD's column of Table 4: a random half is for testing, and 15 % of it are called anomalous.

    Parameters
    ----------
    dataset : {"arrhythmia"}
    seed : int in [0, 2**32), default=0

    Returns
    -------
    Task
        `train`: the normal rows of one half of the 452 rows. `test`: the other half. Raw values, no validation.

    Errors as in `random_split`.
    """
    rows, labels = load_arrhythmia("alad", dataset)
    order = np.random.RandomState(seed).permutation(len(rows))
    train, test = order[: len(rows) // 2], order[len(rows) // 2 :]
    return _table_task(f"alad/{dataset}/{seed}", rows, labels, train[labels[train] == 0], test, cut=0.85)


def alad_half(dataset: str) -> Task:
    """Arrhythmia as in ALAD's own run: the one half of its authors' code, with its anomalies among the training rows.

    Parameters
    ----------
    dataset : {"arrhythmia"}

    Returns
    -------
    Task
        `train`: 226 rows, of which 34 are anomalies. `test`: the other half, with 32 anomalies, of which 34 rows are
        called anomalous. Raw values, no validation.

    Errors as in `official_split`.
    """
    rows, labels = load_arrhythmia("alad_half", dataset)
    # The authors split by scikit-learn, which tests on the first rows of the order.
    order = np.random.RandomState(42).permutation(len(rows))
    half = len(rows) // 2
    return _table_task(f"alad_half/{dataset}", rows, labels, order[half:], order[:half], cut=0.85)


def goad(dataset: str) -> Task:
    """Arrhythmia as in GOAD's column of Table 4: the first half of the normal rows is for training, standardised.

    Parameters
    ----------
    dataset : {"arrhythmia"}

    Returns
    -------
    Task
        `test`: the other normal rows and all anomalies. As many rows are called anomalous as there are anomalies. No
        validation.

    Errors as in `official_split`.
    """
    rows, labels = load_arrhythmia("goad", dataset)
    normals, anomalies = np.flatnonzero(labels == 0), np.flatnonzero(labels)
    half = len(normals) // 2
    test = np.concatenate([normals[half:], anomalies])
    cut = (len(normals) - half) / len(test)
    return _table_task(f"goad/{dataset}", rows, labels, normals[:half], test, cut=cut, standardise=True)


def random_half(dataset: str, seed: int = 0) -> Task:
    """A table of ADBench: a random half of the normal rows, at most 10,000, is for training, all others for testing.

    Parameters
    ----------
    dataset : str
        Path of an NPZ file with arrays `X`, numbers (n, d), and `y`, (n,), 1 = anomaly.
    seed : int in [0, 2**32), default=0

    Returns
    -------
    Task
        Standardised by the training rows, without validation. The metric is AUROC.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not such a table, or too small: it needs two normal rows and an anomaly.
    """
    rows, labels = read_npz(dataset)
    normals = np.flatnonzero(labels == 0)
    order = np.random.RandomState(seed).permutation(normals)
    n_train = min(len(normals) // 2, 10_000)
    test = np.sort(np.concatenate([order[n_train:], np.flatnonzero(labels)]))
    name = f"random_half/{Path(dataset).stem}/{seed}"
    return _table_task(name, rows, labels, np.sort(order[:n_train]), test, standardise=True)


PROTOCOLS: dict[str, Callable[..., Task]] = {
    function.__name__: function
    for function in (one_class, official_split, random_split, alad, alad_half, goad, random_half)
}
"""All protocols by name. Each takes a data set, and `normal` or `seed` if it has such a choice."""


def make_task(protocol: str, dataset: str, *, normal: int | None = None, seed: int = 0) -> Task:
    """Return the rows of one experiment.

    Parameters
    ----------
    protocol : str
        A key of `PROTOCOLS`.
    dataset : str
        A key of `CATALOGUE`, or for "random_half" the path of an NPZ file.
    normal : int, optional
        The normal class, for "one_class" only.
    seed : int in [0, 2**32), default=0
        Number of the random split, for protocols with several. The others take 0 only.

    Returns
    -------
    Task

    Raises
    ------
    FileNotFoundError
        If the data set is missing; the message says how to get it.
    ValueError
        If a name is unknown, the protocol is not one for this set, or `normal` or `seed` do not fit it.

    Examples
    --------
    >>> np.savez("rows.npz", X=np.arange(40.0).reshape(20, 2), y=np.arange(20) >= 15)
    >>> task = make_task("random_half", "rows.npz", seed=1)
    >>> task.train.shape, task.test.shape, int(task.test_labels.sum())
    ((7, 2), (13, 2), 5)
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"there is no protocol {protocol!r}; the known ones are {', '.join(PROTOCOLS)}")
    choices = inspect.signature(PROTOCOLS[protocol]).parameters
    if "normal" in choices and normal is None:
        raise ValueError(f"the protocol {protocol} needs a normal class: give normal")
    if "normal" not in choices and normal is not None:
        raise ValueError(f"the protocol {protocol} has no choice of a normal class; leave normal out")
    if "seed" not in choices and seed != 0:
        raise ValueError(f"the protocol {protocol} has one split only, so seed must be 0, not {seed}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be in [0, 2**32), not {seed}")
    chosen = {name: value for name, value in (("normal", normal), ("seed", seed)) if name in choices}
    return PROTOCOLS[protocol](dataset, **chosen)


def load_arrhythmia(protocol: str, dataset: str) -> tuple[NDArray[np.float64], Indices]:
    """Return the 274 complete attributes, and labels, 1 = anomaly."""
    if dataset != "arrhythmia":
        data_set(dataset)
        raise ValueError(f"the protocol {protocol} is for arrhythmia, not for {dataset}")
    rows, classes = load(dataset, "all")
    return np.delete(rows, _INCOMPLETE, axis=1), np.isin(classes, ARRHYTHMIA_ANOMALIES).astype(np.int64)


def _arrhythmia_fifths(name: str, dataset: str, seed: int) -> Task:
    rows, labels = load_arrhythmia(name.partition("/")[0], dataset)
    train, validation, test = fifths(labels, seed)
    return _table_task(f"{name}/{dataset}", rows, labels, train, test, validation=validation, cut=0.854)


def fifths(labels: Indices, seed: int) -> tuple[Indices, Indices, Indices]:
    """Return training, validation and test rows: of normal rows and of anomalies, a fifth for each of the last two.

    NOTE[DIFF]: validation has 30 % in the text, and 20 % in the code, which is followed here. The other anomalies are
    not used.
    """
    random = np.random.RandomState(seed)
    train, validation, test = [], [], []
    for label in (0, 1):
        rows = np.flatnonzero(labels == label)
        order = rows[random.choice(len(rows), len(rows), replace=False)]
        first, second = round(0.2 * len(rows)), round(0.4 * len(rows))
        test.append(order[:first])
        validation.append(order[first:second])
        if label == 0:
            train.append(np.sort(order[second:]))
    return np.concatenate(train), np.concatenate(validation), np.concatenate(test)


def _table_task(
    name: str,
    rows: NDArray[np.float64],
    labels: Indices,
    train: Indices,
    test: Indices,
    *,
    validation: Indices | None = None,
    cut: float | None = None,
    standardise: bool = False,
) -> Task:
    """Return a task on rows of a table. The metric is F1 if there is a cut, else AUROC."""
    return Task(
        name=name,
        train=fixed(rows[train]),
        validation=None if validation is None else fixed(rows[validation]),
        validation_labels=None if validation is None else fixed(labels[validation]),
        test=fixed(rows[test]),
        test_labels=fixed(labels[test]),
        preprocessing=standardising(rows[train]) if standardise else Preprocessing("none"),
        metric="auroc" if cut is None else "f1",
        cut=cut,
    )


def _is_not(labels: Indices, normal: int) -> Indices:
    return fixed((labels != normal).astype(np.int64))
