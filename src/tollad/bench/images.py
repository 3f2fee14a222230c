"""Sets of images in the protocols: the validation split, the classes of which one is normal, and the preprocessing."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.bench.preprocessing import Preprocessing
from tollad.datasets.catalogue import CATALOGUE, Images, data_set, load
from tollad.methods.scaling import contrast

Indices: TypeAlias = NDArray[np.int64]


def validation_indices(dataset: str, labels: Indices) -> Indices:
    """Return the validation images: a sixth or a fifth of the training images, drawn as in the authors' code.

    Parameters
    ----------
    dataset : {"mnist", "fashion_mnist", "cifar10", "cifar100"}
    labels : ndarray of int64, shape (n,)
        Labels of the official training images; for CIFAR-100 the fine ones.

    Returns
    -------
    ndarray of int64, shape (10000,)
        In the order in which they were drawn.

    Raises
    ------
    ValueError
        If the set is unknown or holds no images, or has too few labels, in all or of a class.
    """
    images = images_of(dataset, "validation split")
    random = np.random.RandomState(images.seed)
    if not images.by_class:
        return random.choice(len(labels), images.n_validation, replace=False).astype(np.int64)
    names, *_ = CATALOGUE[dataset].classes.values()
    n_each = images.n_validation // len(names)
    drawn = [random.choice(np.flatnonzero(labels == c), n_each, replace=False) for c in range(len(names))]
    return np.concatenate(drawn).astype(np.int64)


def training_indices(labels: Indices, validation: Indices, normal: int) -> Indices:
    """Return the indices of the images of the normal class that are not for validation, ascending."""
    chosen = labels == normal
    chosen[validation] = False
    return np.flatnonzero(chosen)


def images_of(dataset: str, wanted: str) -> Images:
    """Return how a set of images is scaled and split; ValueError for a set without images."""
    images = data_set(dataset).images
    if images is None:
        known = ", ".join(name for name, block in CATALOGUE.items() if block.images is not None)
        raise ValueError(f"{dataset} holds no images, and the {wanted} is for {known}")
    return images


def class_names(dataset: str) -> tuple[str, ...]:
    """Return the names of the classes, one of which is normal."""
    classes = CATALOGUE[dataset].classes
    return classes.get("coarse") or classes["class"]


def load_images(dataset: str, part: str) -> tuple[NDArray[np.uint8], Indices]:
    """Return the images of a part, and their labels by the classes one of which is normal."""
    return load(dataset, part, classes="coarse" if "coarse" in CATALOGUE[dataset].classes else None)


@functools.lru_cache(maxsize=2)
def validation_of(dataset: str, folder: Path) -> tuple[Indices, NDArray[np.uint8]]:
    """Return indices and images of the validation split, which all classes share. `folder` is only a cache key."""
    images, labels = load(dataset, "train")
    indices = validation_indices(dataset, labels)
    return indices, fixed(images[indices])


def image_preprocessing(dataset: str, normal: int) -> Preprocessing:
    scale = images_of(dataset, "preprocessing").scale
    return Preprocessing("contrast", extremes_of(dataset, normal)) if scale is None else Preprocessing("scale", scale)


def extremes_of(dataset: str, normal: int) -> tuple[float, float]:
    """Return the least and the largest value of the normal class after `contrast`, including validation images."""
    images, labels = load_images(dataset, "train")
    values = contrast(images[labels == normal])
    return float(values.min()), float(values.max())


def fixed(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array, made read-only."""
    array.flags.writeable = False
    return array
