"""Protocols: the splits by their recipes on images that carry their number, and the known facts on the real sets."""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
import pytest
from bench.synthetic import adbench_table
from numpy.random import RandomState
from sklearn.model_selection import train_test_split

from tollad.bench import images, protocols
from tollad.bench.images import validation_indices
from tollad.bench.preprocessing import Preprocessing
from tollad.bench.protocols import PROTOCOLS, make_task
from tollad.bench.splits import split
from tollad.datasets.catalogue import CATALOGUE

IMAGES = {"mnist": 60000, "fashion_mnist": 60000, "cifar10": 50000, "cifar100": 50000}


def numbers_of(images):
    """The numbers that images of `fake_sets` carry."""
    return np.ascontiguousarray(images).reshape(len(images), 4).view("<u4")[:, 0].astype(np.int64)


def digest(indices):
    return hashlib.sha256(np.asarray(indices, "<i8").tobytes()).hexdigest()


def fake_labels(name, n):
    n_classes = 100 if name == "cifar100" else 10
    return RandomState(7).permutation(np.arange(n) % n_classes)


@pytest.fixture
def fake_sets(home, monkeypatch):
    """Sets of the official size, of images whose four values are their number; and rows like Arrhythmia's."""
    loaded = {}

    def fake_load(name, part, *, classes=None):
        if (name, part) not in loaded:
            n = 452 if name == "arrhythmia" else 10000 if part == "test" else IMAGES[name]
            if name == "arrhythmia":
                rows = np.arange(452.0)[:, None] + np.arange(279) / 1000
                loaded[name, part] = rows, np.repeat([1, 3, 16], [200, 66, 186])
            else:
                images = np.arange(n, dtype="<u4").view(np.uint8).reshape(n, 1, 2, 2)
                loaded[name, part] = images, fake_labels(name, n)
        data, labels = loaded[name, part]
        return data, labels // 5 if classes == "coarse" else labels

    monkeypatch.setattr(protocols, "load", fake_load)
    monkeypatch.setattr(images, "load", fake_load)
    return fake_load


class TestRecipes:
    """The index arrays, each written down a second time."""

    def test_mnist_and_cifar10_draw_from_all(self):
        wanted = {
            "mnist": "5ac742b2044c85fe5be6703e4e7a82e9a64b3f2f43a277d063b104f6eeb9a7fb",
            "cifar10": "deca9f5d9ae8e87375a69483a9d33ab77dbed13fc1acad88ec250239ef23fc86",
        }
        for seed, name in enumerate(wanted):
            drawn = validation_indices(name, np.zeros(IMAGES[name], np.int64))
            assert drawn.dtype == np.int64
            assert np.array_equal(drawn, RandomState(seed).choice(IMAGES[name], 10000, replace=False))
            assert digest(drawn) == wanted[name]

    @pytest.mark.parametrize(("name", "n_classes"), [("fashion_mnist", 10), ("cifar100", 100)])
    def test_fashion_mnist_and_cifar100_draw_from_each_class(self, name, n_classes):
        labels = fake_labels(name, IMAGES[name])
        drawn = validation_indices(name, labels)
        random, n_each = RandomState(0), 10000 // n_classes
        for c in range(n_classes):
            part = drawn[c * n_each : (c + 1) * n_each]
            assert np.array_equal(part, random.choice(np.where(labels == c)[0], n_each, replace=False))

    def test_of_no_images(self):
        with pytest.raises(ValueError, match="arrhythmia holds no images, and the validation split is for mnist"):
            validation_indices("arrhythmia", np.zeros(452, np.int64))


class TestOneClass:
    @pytest.mark.parametrize("name", IMAGES)
    @pytest.mark.parametrize("normal", [0, 9])
    def test_rows(self, fake_sets, name, normal):
        task = make_task("one_class", name, normal=normal)
        fine = fake_labels(name, IMAGES[name])
        labels = fine // 5 if name == "cifar100" else fine
        validation = validation_indices(name, fine)
        train = numbers_of(task.train)
        assert set(train) == set(np.flatnonzero(labels == normal)) - set(validation)
        assert np.all(np.diff(train) > 0)
        assert np.array_equal(numbers_of(task.validation), validation)
        assert np.array_equal(task.validation_labels, labels[validation] != normal)
        assert np.array_equal(numbers_of(task.test), np.arange(10000))
        test_labels = fake_sets(name, "test", classes="coarse" if name == "cifar100" else None)[1]
        assert np.array_equal(task.test_labels, test_labels != normal)
        assert task.validation_labels.dtype == task.test_labels.dtype == np.int64
        assert (task.metric, task.cut) == ("auroc", None)
        assert task.name == f"one_class/{name}/{normal}"

    def test_extremes_are_those_of_all_training_images_of_the_class(self, fake_sets):
        """Those that validate are among them."""
        low, high = make_task("one_class", "cifar10", normal=3).preprocessing.constants
        images, labels = fake_sets("cifar10", "train")
        flat = images[labels == 3].reshape(5000, -1) / 255
        flat = flat - flat.mean(1, keepdims=True)
        size = np.abs(flat).mean(1, keepdims=True)
        values = np.divide(flat, size, out=np.zeros_like(flat), where=size > 0)
        assert low == pytest.approx(values.min(), rel=1e-12)
        assert high == pytest.approx(values.max(), rel=1e-12)

    def test_constants(self, fake_sets):
        assert make_task("one_class", "mnist", normal=4).preprocessing == Preprocessing("scale", (0.1307, 0.3081))
        assert make_task("one_class", "fashion_mnist", normal=4).preprocessing == Preprocessing("scale", (0.286, 0.353))

    def test_tasks_share_their_images(self, fake_sets):
        one, other = (make_task("one_class", "cifar10", normal=normal) for normal in (0, 1))
        assert one.validation is other.validation
        assert np.shares_memory(one.test, other.test)

    @pytest.mark.parametrize(("name", "normal", "last"), [("mnist", 10, 9), ("cifar100", 20, 19), ("cifar10", -1, 9)])
    def test_no_such_class(self, fake_sets, name, normal, last):
        with pytest.raises(ValueError, match=f"{name} has no class {normal}; its classes are 0 to {last}"):
            make_task("one_class", name, normal=normal)


class TestArrhythmia:
    """On rows whose attributes tell their number and column; rows 200 to 265 are the anomalies."""

    NORMALS = np.r_[0:200, 266:452]

    def rows_of(self, array):
        assert array.shape[1] == 274
        assert np.allclose((array % 1 * 1000).round(), np.r_[0:10, 15:279])  # UCI's columns 11 to 15 are left out
        return array[:, 0].round().astype(int)

    @pytest.mark.parametrize(("protocol", "seed"), [("official_split", 300), ("random_split", 0), ("random_split", 7)])
    def test_fifths(self, fake_sets, protocol, seed):
        task = make_task(protocol, "arrhythmia", seed=0 if protocol == "official_split" else seed)
        random = RandomState(seed)
        normals, anomalies = self.NORMALS[random.choice(386, 386, False)], 200 + random.choice(66, 66, False)
        assert self.rows_of(task.test).tolist() == [*normals[:77], *anomalies[:13]]
        assert self.rows_of(task.validation).tolist() == [*normals[77:154], *anomalies[13:26]]
        assert self.rows_of(task.train).tolist() == sorted(normals[154:])
        for labels in (task.validation_labels, task.test_labels):
            assert labels.tolist() == [0] * 77 + [1] * 13
        assert task.preprocessing == Preprocessing("none")
        assert (task.metric, task.cut, round(task.cut * 90)) == ("f1", 0.854, 77)

    def test_alad(self, fake_sets):
        task = make_task("alad", "arrhythmia", seed=5)
        train, test = self.rows_of(task.train), self.rows_of(task.test)
        order = RandomState(5).permutation(452)
        assert test.tolist() == order[226:].tolist()
        assert train.tolist() == [row for row in order[:226] if row in self.NORMALS]
        assert np.array_equal(task.test_labels, ~np.isin(test, self.NORMALS))
        assert task.validation is None
        assert task.validation_labels is None
        assert (task.metric, task.cut) == ("f1", 0.85)
        assert task.preprocessing.kind == "none"

    def test_the_half_of_alads_authors(self, fake_sets):
        """As scikit-learn splits it, and with the anomalies of the training half."""
        task = make_task("alad_half", "arrhythmia")
        train, test = train_test_split(np.arange(452), test_size=0.5, random_state=42)
        assert self.rows_of(task.train).tolist() == train.tolist()
        assert self.rows_of(task.test).tolist() == test.tolist()
        assert np.array_equal(task.test_labels, ~np.isin(test, self.NORMALS))
        assert task.validation is None
        assert (task.metric, task.cut, round(task.cut * 226)) == ("f1", 0.85, 192)
        assert task.preprocessing.kind == "none"

    def test_goad(self, fake_sets):
        task = make_task("goad", "arrhythmia")
        assert np.array_equal(self.rows_of(task.train), self.NORMALS[:193])
        assert np.array_equal(self.rows_of(task.test), [*self.NORMALS[193:], *range(200, 266)])
        assert task.test_labels.tolist() == [0] * 193 + [1] * 66
        assert round(task.cut * 259) == 193
        assert task.validation is None
        z = task.preprocessing(task.train)
        assert np.allclose(z.mean(0), 0)
        assert np.allclose(z.std(0), 1)


class TestChoices:
    def test_all_protocols(self):
        known = ["one_class", "official_split", "random_split", "alad", "alad_half", "goad", "random_half"]
        assert list(PROTOCOLS) == known
        for name, function in PROTOCOLS.items():
            assert function is getattr(protocols, name)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("two_class", "mnist", 1), "no protocol 'two_class'; the known ones are one_class, official_split"),
            (("one_class", "svhn", 1), "no data set 'svhn'; the known ones are mnist"),
            (("one_class", "arrhythmia", 1), "arrhythmia holds no images, and the protocol one_class is for mnist"),
            (("one_class", "mnist", None), "one_class needs a normal class: give normal"),
            (("one_class", "mnist", 1, 3), "one_class has one split only, so seed must be 0, not 3"),
            (("official_split", "arrhythmia", None, 1), "official_split has one split only"),
            (("goad", "arrhythmia", None, 1), "goad has one split only"),
            (("official_split", "arrhythmia", 1), "official_split has no choice of a normal class; leave normal out"),
            (("official_split", "mnist"), "the protocol official_split is for arrhythmia, not for mnist"),
            (("random_split", "mnist"), "the protocol random_split is for arrhythmia, not for mnist"),
            (("alad", "svhn"), "no data set 'svhn'"),
            (("random_split", "arrhythmia", None, -1), "seed must be in [0, 2**32), not -1"),
            (("alad", "arrhythmia", None, 2**32), "seed must be in [0, 2**32), not 4294967296"),
        ],
    )
    def test_bad(self, fake_sets, arguments, words):
        protocol, dataset, normal, seed = (*arguments, None, 0)[:4] if len(arguments) < 4 else arguments
        with pytest.raises(ValueError, match=re.escape(words)):
            make_task(protocol, dataset, normal=normal, seed=seed or 0)

    def test_arrays_are_read_only(self, fake_sets, tmp_path):
        table = adbench_table(tmp_path / "a.npz")
        for protocol in PROTOCOLS:
            chosen = {"one_class": ("cifar10", 2), "random_half": (table, None)}.get(protocol, ("arrhythmia", None))
            task = make_task(protocol, chosen[0], normal=chosen[1])
            arrays = [task.train, task.validation, task.validation_labels, task.test_labels]
            assert not any(array.flags.writeable for array in arrays if array is not None)

    def test_missing_set(self, home):
        for protocol, name, normal in (("one_class", "cifar10", 1), ("alad", "arrhythmia", None)):
            with pytest.raises(FileNotFoundError, match=f"tollad data fetch {name}"):
                make_task(protocol, name, normal=normal)


class TestSplit:
    def test_images(self, fake_sets):
        described = json.loads(json.dumps(split("cifar100")))
        fine = fake_labels("cifar100", 50000)
        validation = validation_indices("cifar100", fine)
        assert described["validation"] == {"size": 10000, "sha256": digest(validation)}
        assert described["test"] == {"size": 10000, "sha256": digest(np.arange(10000))}
        assert [entry["name"] for entry in described["classes"]] == list(CATALOGUE["cifar100"].classes["coarse"])
        for entry in described["classes"]:
            train = numbers_of(make_task("one_class", "cifar100", normal=entry["class"]).train)
            assert entry["train"] == {"size": len(train), "sha256": digest(train)}
            assert len(entry["extremes"]) == 2
        assert "extremes" not in split("mnist")["classes"][0]

    def test_arrhythmia(self, fake_sets):
        described = split("arrhythmia")
        random, normals = RandomState(300), TestArrhythmia.NORMALS
        normals, anomalies = normals[random.choice(386, 386, False)], 200 + random.choice(66, 66, False)
        assert described["test"] == {
            "size": 90,
            "sha256": digest([*normals[:77], *anomalies[:13]]),
            "anomalies": 13,
        }
        assert described["train"] == {"size": 232, "sha256": digest(sorted(normals[154:])), "anomalies": 0}

    def test_unknown(self):
        with pytest.raises(ValueError, match="no data set 'svhn'"):
            split("svhn")


@pytest.mark.data
class TestRealSets:
    def test_arrhythmia(self, real):
        real("arrhythmia")
        task = make_task("official_split", "arrhythmia")
        assert task.train.shape == (232, 274)
        assert task.validation.shape == task.test.shape == (90, 274)
        assert task.validation_labels.sum() == task.test_labels.sum() == 13
        assert np.linalg.norm(task.train, axis=1).mean() == pytest.approx(570, abs=0.5)
        assert (task.train.std(0) == 0).sum() == 40
        described = split("arrhythmia")
        assert described["train"]["sha256"].startswith("2dc718f7d11594d5")
        assert described["validation"]["sha256"].startswith("58473b77ab2a4520")
        assert described["test"]["sha256"].startswith("e5caf760df993d4b")
        goad = make_task("goad", "arrhythmia")
        assert (len(goad.train), len(goad.test), goad.test_labels.sum()) == (193, 259, 66)

    @pytest.mark.parametrize(
        ("name", "n_train", "validation"),
        [
            ("mnist", [4922, 5589, 4985, 5146, 4898, 4530, 4900, 5225, 4869, 4936], "5ac742b2044c85fe"),
            ("fashion_mnist", [5000] * 10, "58321f4424c9a8d8"),
            ("cifar10", [4014, 4014, 3962, 4011, 3993, 4005, 4013, 3988, 4022, 3978], "deca9f5d9ae8e873"),
            ("cifar100", [2000] * 20, "f4e1fbeeb7bae7e8"),
        ],
    )
    def test_images(self, real, name, n_train, validation):
        real(name)
        described = split(name)
        assert [entry["train"]["size"] for entry in described["classes"]] == n_train
        assert described["validation"]["sha256"].startswith(validation)
        last = make_task("one_class", name, normal=len(n_train) - 1)
        assert len(last.train) == n_train[-1]
        assert len(last.validation) == len(last.test) == 10000
        assert (last.test_labels == 0).sum() == {"mnist": 1009, "cifar100": 500}.get(name, 1000)
        values = last.preprocessing(last.train)
        if name in ("mnist", "fashion_mnist"):
            assert abs(last.preprocessing(last.validation).mean()) < 0.02
            assert last.preprocessing(last.validation).std() == pytest.approx(1, abs=0.02)
        else:
            assert values.min() >= 0
            assert values.max() <= 1

    def test_extremes_of_cifar10(self, real):
        real("cifar10")
        for normal, extremes in (
            (0, (-28.94083453598571, 13.802961825439636)),
            (1, (-6.681770233365245, 9.158067708230273)),
        ):
            found = make_task("one_class", "cifar10", normal=normal).preprocessing.constants
            assert found == pytest.approx(extremes, rel=1e-13)
