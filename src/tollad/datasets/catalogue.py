"""The benchmark sets: their addresses, contents and readers.

A set lies in ``data_dir() / name``, in files as its authors publish them. To add one is to add a block to `CATALOGUE`,
and a reader to `formats` if its format is new.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.datasets import formats
from tollad.datasets.files import Content, check, data_dir, variants

LabelledData: TypeAlias = tuple[NDArray[Any], dict[str, NDArray[np.int64]]]
"""Images or rows, and their labels by the kind of class."""


@dataclass(frozen=True)
class Split:
    """The files of one part of a set, in the order that its reader takes them, and how many rows they hold."""

    files: tuple[str, ...]
    n_rows: int


@dataclass(frozen=True)
class Images:
    """How the protocols scale and split a set of images.

    Attributes
    ----------
    scale : (float, float), optional
        Mean and standard deviation of the values in [0, 1], by which they are scaled; without it the contrast of each
        image is normalised.
    n_validation : int, default 10000
        How many of the training images become validation images.
    seed : int, default 0
        Of the ``numpy.random.RandomState`` that draws the validation images.
    by_class : bool, default False
        Whether equally many validation images are drawn from each class. If not, they are drawn from all images.
    """

    scale: tuple[float, float] | None = None
    n_validation: int = 10000
    seed: int = 0
    by_class: bool = False


@dataclass(frozen=True)
class DataSet:
    """One benchmark set.

    Attributes
    ----------
    title : str
        Name of the set as papers write it.
    downloads : tuple of tuple of str
        For each file or archive to download, the addresses that offer it, the authors' own first. The content is
        checked whatever the address.
    files : mapping of str to Content
        The files that are read. Each may be gzipped, and then ends in ``.gz``.
    splits : mapping of str to Split
    classes : mapping of str to tuple of str
        Names of the classes, for each kind of class; the first kind is the usual one. Labels count from 0, but those of
        Arrhythmia from 1.
    read : callable
        Maps the paths of a split's files to images (n, channels, height, width) or rows (n, d), and labels by kind of
        class.
    images : Images, optional
        For a set of images.
    """

    title: str
    downloads: tuple[tuple[str, ...], ...]
    files: Mapping[str, Content]
    splits: Mapping[str, Split]
    classes: Mapping[str, tuple[str, ...]]
    read: Callable[..., LabelledData]
    images: Images | None = None


def _idx(images: Path, labels: Path) -> LabelledData:
    pixels, classes = formats.read_idx_pair(images, labels)
    return pixels[:, None], {"class": classes}


def _cifar10(*paths: Path) -> LabelledData:
    images, labels = zip(*map(formats.read_cifar10, paths), strict=True)
    return np.concatenate(images), {"class": np.concatenate(labels)}


def _cifar100(path: Path) -> LabelledData:
    images, fine, coarse = formats.read_cifar100(path)
    return images, {"fine": fine, "coarse": coarse}


def _arrhythmia(path: Path) -> LabelledData:
    rows, labels = formats.read_arrhythmia(path)
    return rows, {"class": labels}


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_IDX_SPLITS = {
    "train": Split(("train-images-idx3-ubyte", "train-labels-idx1-ubyte"), 60000),
    "test": Split(("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"), 10000),
}


def _idx_downloads(*folders: str) -> tuple[tuple[str, ...], ...]:
    files = [file for split in _IDX_SPLITS.values() for file in split.files]
    return tuple(tuple(f"{folder}/{file}.gz" for folder in folders) for file in files)


CATALOGUE: dict[str, DataSet] = {
    "mnist": DataSet(
        title="MNIST",
        # The first page often refuses programs; the second is where PyTorch keeps the same files.
        downloads=_idx_downloads("http://yann.lecun.com/exdb/mnist", "https://ossci-datasets.s3.amazonaws.com/mnist"),
        files={
            "train-images-idx3-ubyte": Content(
                47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
            ),
            "train-labels-idx1-ubyte": Content(
                60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
            ),
            "t10k-images-idx3-ubyte": Content(
                7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
            ),
            "t10k-labels-idx1-ubyte": Content(
                10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
            ),
        },
        splits=_IDX_SPLITS,
        classes={"class": ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")},
        read=_idx,
        images=Images(scale=(0.1307, 0.3081)),
    ),
    "fashion_mnist": DataSet(
        title="Fashion-MNIST",
        downloads=_idx_downloads("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"),
        files={
            "train-images-idx3-ubyte": Content(
                47040016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
            ),
            "train-labels-idx1-ubyte": Content(
                60008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
            ),
            "t10k-images-idx3-ubyte": Content(
                7840016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
            ),
            "t10k-labels-idx1-ubyte": Content(
                10008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
            ),
        },
        splits=_IDX_SPLITS,
        classes={
            "class": (
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            )
        },
        read=_idx,
        images=Images(scale=(0.2860, 0.3530), by_class=True),
    ),
    "cifar10": DataSet(
        title="CIFAR-10",
        downloads=(("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),),
        files={
            "data_batch_1.bin": Content(30730000, "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
            "data_batch_2.bin": Content(30730000, "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
            "data_batch_3.bin": Content(30730000, "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
            "data_batch_4.bin": Content(30730000, "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
            "data_batch_5.bin": Content(30730000, "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
            "test_batch.bin": Content(30730000, "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
        },
        splits={
            "train": Split(tuple(f"data_batch_{i}.bin" for i in range(1, 6)), 50000),
            "test": Split(("test_batch.bin",), 10000),
        },
        classes={
            "class": (
                "airplane",
                "automobile",
                "bird",
                "cat",
                "deer",
                "dog",
                "frog",
                "horse",
                "ship",
                "truck",
            )
        },
        read=_cifar10,
        images=Images(seed=1),
    ),
    "cifar100": DataSet(
        title="CIFAR-100",
        downloads=(("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),),
        files={
            "train.bin": Content(153700000, "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29"),
            "test.bin": Content(30740000, "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a"),
        },
        splits={"train": Split(("train.bin",), 50000), "test": Split(("test.bin",), 10000)},
        classes={
            "fine": _words(
                """
                apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel
                can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
                dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion
                lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree
                pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea
                seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table
                tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman
                worm
                """
            ),
            "coarse": _words(
                """
                aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices
                household_furniture insects large_carnivores large_man-made_outdoor_things
                large_natural_outdoor_scenes large_omnivores_and_herbivores medium_mammals non-insect_invertebrates
                people reptiles small_mammals trees vehicles_1 vehicles_2
                """
            ),
        },
        read=_cifar100,
        images=Images(by_class=True),
    ),
    "arrhythmia": DataSet(
        title="Arrhythmia",
        downloads=(("https://archive.ics.uci.edu/static/public/5/arrhythmia.zip",),),
        files={
            "arrhythmia.data": Content(402355, "a7f0f4ca289a4c58b5ed85a9adb793189acd38425828ce3dfbb70adb45f30169"),
        },
        splits={"all": Split(("arrhythmia.data",), 452)},
        classes={
            "class": (
                "normal",
                "ischemic changes (coronary artery disease)",
                "old anterior myocardial infarction",
                "old inferior myocardial infarction",
                "sinus tachycardia",
                "sinus bradycardia",
                "ventricular premature contraction",
                "supraventricular premature contraction",
                "left bundle branch block",
                "right bundle branch block",
                "first degree atrioventricular block",
                "second degree atrioventricular block",
                "third degree atrioventricular block",
                "left ventricular hypertrophy",
                "atrial fibrillation or flutter",
                "others",
            )
        },
        read=_arrhythmia,
    ),
}
"""All sets by name: the one place to touch to add a set."""


def data_set(name: str) -> DataSet:
    """Return the block of a set; a ValueError for an unknown name lists the known ones."""
    if name not in CATALOGUE:
        raise ValueError(f"there is no data set {name!r}; the known ones are {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def find(name: str, file: str) -> Path | None:
    """Return the path of a file of a data set in `data_dir`, or None. A gzipped file, as published, is preferred.

    Parameters
    ----------
    name : str
        Of the set, such as "mnist".
    file : str
        Name of the file without ``.gz``.

    Examples
    --------
    >>> find("mnist", "no-such-file") is None
    True
    """
    return next(iter(variants(data_dir() / name, file)), None)


def load(name: str, split: str, *, classes: str | None = None) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Read one split of a set, in the order of the official files.

    Parameters
    ----------
    name : str
        A key of `CATALOGUE`.
    split : str
        ``"train"`` or ``"test"``; for Arrhythmia, which has no official split, ``"all"``.
    classes : str, optional
        The kind of class of the labels, if there are several: for CIFAR-100 ``"fine"`` (the default) or ``"coarse"``.

    Returns
    -------
    data : ndarray
        Images, uint8 (n, channels, height, width); or rows, float64 (n, d), with NaN where a value is missing.
        Read-only: a split is read once and then shared.
    labels : ndarray of int64, shape (n,)
        Read-only.

    Raises
    ------
    FileNotFoundError
        If the files of the set are missing; the message says how to get them.
    ValueError
        If there is no such set, split or kind of class, or a file is not the authors'.

    Examples
    --------
    >>> load("mnist", "validation")
    Traceback (most recent call last):
    ValueError: mnist has no split 'validation'; it has train, test
    """
    known = data_set(name)
    if split not in known.splits:
        raise ValueError(f"{name} has no split {split!r}; it has {', '.join(known.splits)}")
    kind = next(iter(known.classes)) if classes is None else classes
    if kind not in known.classes:
        raise ValueError(f"{name} has no classes {kind!r}; it has {', '.join(known.classes)}")
    paths = [find(name, file) for file in known.splits[split].files]
    if missing := [file for file, path in zip(known.splits[split].files, paths, strict=True) if path is None]:
        raise FileNotFoundError(
            f"the data set {name} is not in {data_dir() / name} ({missing[0]} is missing); get it by "
            f"`tollad data fetch {name}`, or let TOLLAD_DATA name the folder that holds {name}/{missing[0]}"
        )
    data, labels = _load(name, split, *(path for path in paths if path is not None))
    return data, labels[kind]


# Room for the splits of two sets. With more, a process that goes through all sets would keep gigabytes.
@functools.lru_cache(maxsize=4)
def _load(name: str, split: str, *paths: Path) -> LabelledData:
    known = CATALOGUE[name]
    try:
        data, labels = known.read(*paths)
        if len(data) != known.splits[split].n_rows:
            raise ValueError(
                f"{', '.join(map(str, paths))}: {len(data)} rows, and the official files hold "
                f"{known.splits[split].n_rows}; download them again"
            )
        # Checked after reading, since the reader gives better messages. Data that only the reader accepts must not
        # enter results.
        for file, path in zip(known.splits[split].files, paths, strict=True):
            check(path, str(path), known.files[file])
    except ValueError as error:
        raise ValueError(f"{error}: `tollad data fetch {name}`") from error
    for array in (data, *labels.values()):
        array.flags.writeable = False
    return data, labels
