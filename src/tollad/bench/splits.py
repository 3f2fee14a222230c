"""The official splits, described by sizes and digests, so that two implementations can be compared."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tollad.bench import protocols
from tollad.bench.images import class_names, extremes_of, load_images, training_indices, validation_of
from tollad.datasets.catalogue import data_set
from tollad.datasets.files import data_dir


def split(name: str) -> dict[str, Any]:
    """Describe the official split of a set by sizes and digests, so that two implementations can be compared.

    A digest is the SHA-256 of the indices as little-endian int64. Indices count the official training images, or the
    rows of Arrhythmia, from 0. Training rows ascend, and so do those of the official test images; validation rows, and
    the test rows of Arrhythmia, are in the order in which they were drawn.

    Parameters
    ----------
    name : str
        A key of `CATALOGUE`.

    Returns
    -------
    dict
        Plain values for JSON: for images the validation and test rows, and for each class the training rows and, for
        CIFAR, the extremes; for Arrhythmia the training, validation and test rows.

    Raises
    ------
    FileNotFoundError
        If the set is missing; the message says how to get it.
    ValueError
        If there is no such set.
    """
    data_set(name)
    if name == "arrhythmia":
        labels = protocols.load_arrhythmia("official_split", name)[1]
        parts = zip(("train", "validation", "test"), protocols.fifths(labels, 300), strict=True)
        return {
            "dataset": name,
            "protocol": "official_split",
            **{part: {**_described(rows), "anomalies": int(labels[rows].sum())} for part, rows in parts},
        }
    labels = load_images(name, "train")[1]
    validation, _ = validation_of(name, data_dir())
    classes = []
    images = data_set(name).images
    extremes = images is not None and images.scale is None
    for normal, title in enumerate(class_names(name)):
        trained = training_indices(labels, validation, normal)
        entry = {"class": normal, "name": title, "train": _described(trained)}
        if extremes:
            entry["extremes"] = list(extremes_of(name, normal))
        classes.append(entry)
    return {
        "dataset": name,
        "protocol": "one_class",
        "validation": _described(validation),
        "test": _described(np.arange(len(load_images(name, "test")[1]))),
        "classes": classes,
    }


def _described(indices: NDArray[np.int64]) -> dict[str, Any]:
    return {"size": len(indices), "sha256": hashlib.sha256(indices.astype("<i8").tobytes()).hexdigest()}
