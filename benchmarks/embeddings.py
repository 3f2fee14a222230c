"""Detection quality on embeddings and pixels: many columns that share a unit, and few rows, as JSON lines.

    python benchmarks/embeddings.py [SET ...] --out benchmarks/results/embeddings.jsonl [--seeds 0 1 2]

Sets: digits_net, mnist_net and fashion_mnist_net are images of scikit-learn's digits, MNIST and Fashion-MNIST as 256
numbers, by two layers of random convolutions that nobody trained; digits are the 64 pixels of scikit-learn's. Each
class is the normal one once: `N_TRAIN` of its images to learn from (of scikit-learn's digits a half), and `N_TEST` test
images of all classes. The data sets are found in TOLLAD_DATA, see docs/data.md; scikit-learn brings its digits. What
was chosen by these sets was chosen on odd classes.

Peers: the Mahalanobis distance with the covariance of Ledoit and Wolf, of the columns as they are, and the mean
distance to the five nearest training rows, of standardised columns and of columns as they are.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_digits
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from tollad import TollDetector, metrics
from tollad.bench import machine, protocols

Floats = NDArray[np.float64]
N_TRAIN, N_TEST = 500, 1000
_WIDTHS = 32, 64


@dataclass(frozen=True)
class Case:
    """Rows of one class to learn from, and test rows with their labels, 1 = anomaly."""

    name: str
    train: Floats
    test: Floats
    labels: NDArray[np.int64]


def cases(name: str, seed: int) -> Iterator[Case]:
    """Yield each class of a set."""
    data = name.removesuffix("_net")
    embed = random_network if name.endswith("_net") else flat
    for number in range(10):
        train, test, labels = _digits(number, seed) if data == "digits" else _images(data, number, seed)
        yield Case(f"{name}/{number}", embed(train), embed(test), labels)


def _digits(number: int, seed: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(images))
    images, digits = images[order].reshape(-1, 8, 8) / 16, digits[order]
    normal = np.flatnonzero(digits == number)
    tested = np.setdiff1d(np.arange(len(images)), normal[: len(normal) // 2])
    return images[normal[: len(normal) // 2]], images[tested], (digits[tested] != number).astype(np.int64)


def _images(data: str, number: int, seed: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    task, rng = protocols.one_class(data, number), np.random.default_rng(seed)
    trained, tested = rng.permutation(len(task.train))[:N_TRAIN], rng.permutation(len(task.test))[:N_TEST]
    return _grey(task.train[trained]), _grey(task.test[tested]), task.test_labels[tested]


def _grey(images: NDArray[Any]) -> Floats:
    return images.reshape(len(images), *images.shape[-2:]) / 255


def flat(images: Floats) -> Floats:
    return images.reshape(len(images), -1)


def random_network(images: Floats) -> Floats:
    """Return (n, 256) features of grey images, (n, H, W), by random convolutions: the same ones for all."""
    generator, x, width = torch.Generator().manual_seed(0), torch.tensor(images, dtype=torch.float32)[:, None], 1
    for wider in _WIDTHS:
        kernel = torch.randn(wider, width, 3, 3, generator=generator) * (2 / (9 * width)) ** 0.5
        x, width = functional.avg_pool2d(torch.relu(functional.conv2d(x, kernel, padding=1)), 2), wider
    return functional.adaptive_avg_pool2d(x, 2).flatten(1).double().numpy()


def tollad(case: Case, seed: int) -> Floats:
    return TollDetector(random_state=seed, device="cpu").fit(case.train).anomaly_score(case.test)


def tollad_standard(case: Case, seed: int) -> Floats:
    """The default, but every column standardised."""
    detector = TollDetector(preprocess="standard", random_state=seed, device="cpu")
    return detector.fit(case.train).anomaly_score(case.test)


def ledoit_wolf(case: Case, seed: int) -> Floats:
    return np.sqrt(LedoitWolf().fit(case.train).mahalanobis(case.test))


def knn5(case: Case, seed: int) -> Floats:
    scaler = StandardScaler().fit(case.train)
    return _nearest(scaler.transform(case.train), scaler.transform(case.test))


def knn5_raw(case: Case, seed: int) -> Floats:
    return _nearest(case.train, case.test)


def _nearest(train: Floats, test: Floats) -> Floats:
    return NearestNeighbors(n_neighbors=5).fit(train).kneighbors(test)[0].mean(1)


METHODS: dict[str, Callable[[Case, int], Floats]] = {
    method.__name__: method for method in (tollad, tollad_standard, ledoit_wolf, knn5, knn5_raw)
}
SETS = ("digits_net", "mnist_net", "fashion_mnist_net", "digits")


def run(sets: list[str], methods: list[str], seeds: list[int], out: Path) -> None:
    torch.set_num_threads(1)
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    done = {(line["case"], line["method"], line["seed"]) for line in map(json.loads, lines)}
    for seed in seeds:
        for case in (case for name in sets for case in cases(name, seed)):
            for name in methods:
                if (case.name, name, seed) in done:
                    continue
                start = time.process_time()
                scores = METHODS[name](case, seed)
                line = {
                    "case": case.name,
                    "method": name,
                    "seed": seed,
                    "auroc": metrics.auroc(case.labels, scores),
                    "n_train": len(case.train),
                    "n_columns": case.train.shape[1],
                    "cpu_seconds": round(time.process_time() - start, 2),
                    "cpu": machine.device_name(torch.device("cpu")),
                }
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                print(case.name, name, seed, round(line["auroc"], 4), flush=True)


def table(path: Path) -> str:
    """Return the mean AUROC in % by set, over the odd and the even classes, as a table of Markdown."""
    found = defaultdict[tuple[str, str, int], list[float]](list)
    for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        name, number = line["case"].split("/")
        found[name, line["method"], int(number) % 2].append(line["auroc"])
    text = ["| set, classes | " + " | ".join(METHODS) + " |", "| --- |" + " ---: |" * len(METHODS)]
    for name in SETS:
        for odd in (1, 0):
            if any((name, method, odd) in found for method in METHODS):
                means = (f"{100 * np.mean(found[name, method, odd]):.2f}" for method in METHODS)
                text.append(f"| {name}, {'odd' if odd else 'even'} | " + " | ".join(means) + " |")
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path)
    arguments = parser.parse_args()
    if arguments.table:
        print(table(arguments.table))
    else:
        run(arguments.sets, arguments.methods, arguments.seeds, arguments.out)


if __name__ == "__main__":
    main()
