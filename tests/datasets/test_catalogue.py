"""The catalogue: where sets are looked for, what is read, and what is said when it is not there or damaged."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets.written import adopt, cifar_bytes, idx_bytes, write

from tollad.datasets import catalogue
from tollad.datasets.catalogue import CATALOGUE, Split, data_set, find, load
from tollad.datasets.files import data_dir, user_cache, variants

# Images as np.uint8 of the official numbers would take 180 MB a set; two of each split are as good here.
TINY = {
    name: replace(
        CATALOGUE[name],
        splits={part: Split(known.files, 2 * len(known.files)) for part, known in CATALOGUE[name].splits.items()},
    )
    for name in ("cifar10", "cifar100")
}


class TestFolder:
    def test_named(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TOLLAD_DATA", str(tmp_path))
        assert data_dir() == tmp_path
        assert user_cache() != tmp_path
        monkeypatch.setenv("TOLLAD_DATA", "~/sets")
        assert data_dir() == Path.home() / "sets"
        monkeypatch.setenv("TOLLAD_DATA", "~nobody of that name/sets")
        with pytest.raises(ValueError, match=r"TOLLAD_DATA is ~nobody .* no such user; let it name a folder"):
            data_dir()

    @pytest.mark.parametrize(
        ("platform", "variable", "below_home"),
        [
            ("linux", "XDG_CACHE_HOME", ".cache/tollad"),
            ("darwin", None, "Library/Caches/tollad"),
            ("win32", "LOCALAPPDATA", "AppData/Local/tollad"),
        ],
    )
    def test_cache_of_the_user(self, monkeypatch, tmp_path, platform, variable, below_home):
        monkeypatch.setenv("TOLLAD_DATA", "")
        monkeypatch.setattr(sys, "platform", platform)
        for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
            monkeypatch.delenv(name, raising=False)
        assert data_dir() == user_cache() == Path.home() / below_home
        if variable is not None:
            monkeypatch.setenv(variable, str(tmp_path))
            assert data_dir() == tmp_path / "tollad"

    def test_a_file_lies_gzipped_or_not(self, home):
        plain, zipped = home / "mnist" / "file", home / "mnist" / "file.gz"
        assert find("mnist", "file") is None
        write(plain, b"")
        assert find("mnist", "file") == plain
        write(zipped, b"")
        assert find("mnist", "file") == zipped
        assert variants(home / "mnist", "file") == [zipped, plain]


class TestCatalogue:
    def test_the_sets_of_the_paper_are_there(self):
        assert set(CATALOGUE) >= {"mnist", "fashion_mnist", "cifar10", "cifar100", "arrhythmia"}

    @pytest.mark.parametrize("name", CATALOGUE)
    def test_a_block_is_whole(self, name):
        block = CATALOGUE[name]
        assert sorted(block.files) == sorted(file for part in block.splits.values() for file in part.files)
        for content in block.files.values():
            assert re.fullmatch("[0-9a-f]{64}", content.sha256)
        for names in block.classes.values():
            assert len(set(names)) == len(names) > 1
        for addresses in block.downloads:
            for address in addresses:
                file = address.rpartition("/")[2]
                assert address.startswith(("https://", "http://"))
                assert file.endswith((".tar.gz", ".zip")) or file.removesuffix(".gz") in block.files

    def test_sizes_follow_from_the_formats(self):
        for name in ("mnist", "fashion_mnist"):
            for known in CATALOGUE[name].splits.values():
                images, labels = (CATALOGUE[name].files[file].size for file in known.files)
                assert (images, labels) == (16 + 784 * known.n_rows, 8 + known.n_rows)
        for name, record in (("cifar10", 3073), ("cifar100", 3074)):
            for known in CATALOGUE[name].splits.values():
                assert sum(CATALOGUE[name].files[file].size for file in known.files) == record * known.n_rows

    def test_numbers_of_classes(self):
        counts = {name: tuple(map(len, block.classes.values())) for name, block in CATALOGUE.items()}
        assert counts == {
            "mnist": (10,),
            "fashion_mnist": (10,),
            "cifar10": (10,),
            "cifar100": (100, 20),
            "arrhythmia": (16,),
        }

    def test_unknown_name(self):
        with pytest.raises(ValueError, match=r"no data set .svhn.; the known ones are .*mnist, .*cifar10"):
            data_set("svhn")


class TestLoad:
    def test_mnist_of_full_size(self, home, monkeypatch):
        """Read in the official number, gzipped labels beside plain images."""
        images, labels = np.zeros((10000, 28, 28), np.uint8), np.arange(10000) % 10
        images[:, 3, 4] = labels
        write(home / "mnist" / "t10k-images-idx3-ubyte", idx_bytes(images))
        write(home / "mnist" / "t10k-labels-idx1-ubyte.gz", idx_bytes(labels), zipped=True)
        adopt(monkeypatch, "mnist")
        read, classes = load("mnist", "test")
        assert read.shape == (10000, 1, 28, 28)
        assert np.array_equal(read[:, 0, 3, 4], classes)
        assert load("mnist", "test")[0] is read  # read once
        for array in (read, classes):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1

    def test_batches_of_cifar10_follow_one_another(self, home, monkeypatch):
        monkeypatch.setitem(CATALOGUE, "cifar10", TINY["cifar10"])
        for i in range(1, 6):
            write(home / f"cifar10/data_batch_{i}.bin", cifar_bytes(np.full((2, 3, 32, 32), i), np.array([i, 0])))
        adopt(monkeypatch, "cifar10")
        images, labels = load("cifar10", "train")
        assert images[:, 0, 0, 0].tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
        assert labels.tolist() == [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]

    def test_both_labels_of_cifar100(self, home, monkeypatch):
        monkeypatch.setitem(CATALOGUE, "cifar100", TINY["cifar100"])
        content = cifar_bytes(np.zeros((2, 3, 32, 32)), np.array([4, 5]), np.array([60, 70]))
        write(home / "cifar100/test.bin", content)
        adopt(monkeypatch, "cifar100")
        images, fine = load("cifar100", "test")
        same, coarse = load("cifar100", "test", classes="coarse")
        assert fine.tolist() == load("cifar100", "test", classes="fine")[1].tolist() == [60, 70]
        assert coarse.tolist() == [4, 5]
        assert same is images

    def test_another_folder_is_another_set(self, home, monkeypatch, tmp_path):
        monkeypatch.setitem(CATALOGUE, "cifar100", TINY["cifar100"])
        for folder in ("sets", "others"):
            monkeypatch.setenv("TOLLAD_DATA", str(tmp_path / folder))
            labels = np.full(2, len(folder))
            write(tmp_path / folder / "cifar100/test.bin", cifar_bytes(np.zeros((2, 3, 32, 32)), labels, labels))
            adopt(monkeypatch, "cifar100")
            assert load("cifar100", "test")[1].tolist() == labels.tolist()

    def test_missing(self, home):
        with pytest.raises(
            FileNotFoundError,
            match=r"cifar10 is not in .*sets/cifar10 \(test_batch.bin is missing\); get it by "
            "`tollad data fetch cifar10`, or let TOLLAD_DATA name the folder that holds cifar10/test_batch.bin",
        ):
            load("cifar10", "test")

    def test_incomplete(self, home):
        write(home / "mnist" / "train-images-idx3-ubyte", b"")
        with pytest.raises(FileNotFoundError, match="train-labels-idx1-ubyte is missing"):
            load("mnist", "train")

    def test_damaged(self, home):
        write(home / "cifar100" / "test.bin", bytes(3074 * 2 - 1))
        with pytest.raises(ValueError, match=r"test\.bin holds 6147 bytes.* again: `tollad data fetch cifar100`$"):
            load("cifar100", "test")

    def test_other_number_of_rows(self, home):
        """A file that was cut between two records."""
        write(home / "cifar100" / "test.bin", bytes(3074 * 2))
        with pytest.raises(
            ValueError, match=r"test\.bin: 2 rows, and the official files hold 10000; .* fetch cifar100"
        ):
            load("cifar100", "test")

    @pytest.mark.parametrize("zipped", [False, True])
    def test_other_content_of_the_right_shape(self, home, monkeypatch, zipped):
        """It would enter results under the identity of the real data."""
        path = write(home / "mnist" / "t10k-images-idx3-ubyte", idx_bytes(np.zeros((10000, 28, 28))))
        labels = np.arange(10000) % 10
        write(home / "mnist" / "t10k-labels-idx1-ubyte", idx_bytes(labels))
        adopt(monkeypatch, "mnist")
        path.unlink()
        path = path.with_name(f"{path.name}{'.gz' * zipped}")
        write(path, idx_bytes(np.ones((10000, 28, 28))), zipped=zipped)
        words = f"{path} has another SHA-256 than the authors' file: `tollad data fetch mnist`"
        with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
            load("mnist", "test")

    def test_a_repaired_file_is_read_anew(self, home, monkeypatch):
        monkeypatch.setitem(CATALOGUE, "cifar100", TINY["cifar100"])
        path = write(home / "cifar100" / "test.bin", b"")
        with pytest.raises(ValueError, match="holds 0 bytes"):
            load("cifar100", "test")
        write(path, bytes(3074 * 2))
        adopt(monkeypatch, "cifar100")
        assert load("cifar100", "test")[0].shape == (2, 3, 32, 32)

    def test_unknown_split_and_classes(self):
        with pytest.raises(ValueError, match="arrhythmia has no split 'train'; it has all"):
            load("arrhythmia", "train")
        with pytest.raises(ValueError, match="cifar100 has no classes 'super'; it has fine, coarse"):
            load("cifar100", "test", classes="super")


def test_torch_is_not_imported(tmp_path):
    """Nor is what downloads, while nothing is downloaded."""
    code = """
import sys
from tollad.datasets import catalogue
from tollad.datasets import fetch
from tollad.datasets import formats
from tollad.bench import protocols
from tollad.cli import data as cli_data
try:
    protocols.make_task("official_split", "arrhythmia")
except FileNotFoundError:
    pass
fetch.verify("mnist")
print(sorted({"torch", "sklearn", "scipy", "pyarrow", "pooch", "requests", "tqdm"} & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env={"TOLLAD_DATA": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.data
@pytest.mark.parametrize("name", catalogue.CATALOGUE)
def test_real_sets(name, real):
    """Shapes and counts as the authors give them."""
    real(name)
    for part, known in CATALOGUE[name].splits.items():
        data, labels = load(name, part)
        assert len(data) == len(labels) == known.n_rows
        counts = np.unique(labels, return_counts=True)[1].tolist()
        match name:
            case "arrhythmia":
                assert data.shape == (452, 279)
                assert np.isnan(data).sum() == 408
                assert set(np.flatnonzero(np.isnan(data).any(0)) + 1) == set(range(11, 16))
                assert counts == [245, 44, 15, 15, 13, 25, 3, 2, 9, 50, 4, 5, 22]
            case "mnist":
                assert (min(counts), max(counts)) == ((5421, 6742) if part == "train" else (892, 1135))
            case _:
                assert len(set(counts)) == 1
        if name == "cifar100":
            coarse = load(name, part, classes="coarse")[1]
            assert len(set(zip(labels.tolist(), coarse.tolist(), strict=True))) == 100  # a class has one superclass
