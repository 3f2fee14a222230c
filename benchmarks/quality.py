"""Detection quality on tables of labelled anomalies, beside other detectors in the same run.

    python benchmarks/quality.py TABLES [--methods tollad knn5 ...] [--seeds 0 1 2] [--contamination 0.05] [--out FILE]

TABLES is a folder of NPZ files with arrays X (n, d) and y (n,), 1 = anomaly, such as ADBench publishes. Protocol: one
class. A random half of the normal rows, at most 10,000, trains; the other normals and all anomalies are the test. Nothing
is resampled, no label is used but to leave anomalies out of training and to measure. With --contamination c, anomalies
drawn from the test make up that share of the training rows. Each result is appended to FILE as one JSON line as soon as
it is there, and a result that is there already is not computed again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from tollad import TollDetector, metrics

Floats = NDArray[np.float64]
Method = Callable[[Floats, Floats, int], Floats]


def one_class_split(X: Floats, y: Floats, seed: int, contamination: float) -> tuple[Floats, Floats, Floats]:
    """Return training rows, test rows and test labels."""
    rng = np.random.default_rng(seed)
    normal, anomalies = rng.permutation(np.flatnonzero(y == 0)), rng.permutation(np.flatnonzero(y == 1))
    train, test = normal[: min(len(normal) // 2, 10_000)], normal[len(normal) // 2 :]
    # At least one anomaly stays in the test.
    n_mixed_in = min(round(len(train) * contamination / (1 - contamination)), len(anomalies) - 1)
    test = np.concatenate([test, anomalies[n_mixed_in:]])
    return X[np.concatenate([train, anomalies[:n_mixed_in]])], X[test], y[test]


def tollad(train: Floats, test: Floats, seed: int, **parameters: Any) -> Floats:
    return TollDetector(random_state=seed, device="cpu", **parameters).fit(train).anomaly_score(test)


def knn5(train: Floats, test: Floats, seed: int) -> Floats:
    scale = StandardScaler().fit(train)
    neighbours = NearestNeighbors(n_neighbors=min(5, len(train))).fit(scale.transform(train))
    return neighbours.kneighbors(scale.transform(test))[0].mean(1)


def lof(train: Floats, test: Floats, seed: int) -> Floats:
    return -make_pipeline(StandardScaler(), LocalOutlierFactor(novelty=True)).fit(train).score_samples(test)


def ocsvm(train: Floats, test: Floats, seed: int) -> Floats:
    return -make_pipeline(StandardScaler(), OneClassSVM(nu=0.1)).fit(train).score_samples(test)


def isolation_forest(train: Floats, test: Floats, seed: int) -> Floats:
    return -IsolationForest(random_state=seed).fit(train).score_samples(test)


METHODS: dict[str, Method] = {
    "tollad": tollad,
    "knn5": knn5,
    "lof": lof,
    "ocsvm": ocsvm,
    "isolation_forest": isolation_forest,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--only", nargs="+", help="names of tables")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--contamination", type=float, default=0.0)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=JSON", help="parameters of tollad")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/quality.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    parameters = {name: json.loads(value) for name, value in (item.split("=", 1) for item in arguments.set)}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    there = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    for path in sorted(arguments.tables.glob("*.npz")):
        if arguments.only and path.stem not in arguments.only:
            continue
        with np.load(path) as file:
            X, y = file["X"].astype(np.float64), file["y"].ravel()
        for name in arguments.methods:
            for seed in arguments.seeds:
                run = {"table": path.stem, "method": name, "seed": seed, "contamination": arguments.contamination}
                run["parameters"] = parameters if name == "tollad" else {}
                if any(run.items() <= result.items() for result in there):
                    continue
                train, test, labels = one_class_split(X, y, seed, arguments.contamination)
                before = time.process_time()
                extra = parameters if name == "tollad" else {}
                scores = METHODS[name](train, test, seed, **extra)
                seconds = time.process_time() - before
                run["auroc"] = metrics.auroc(labels, scores)
                run["average_precision"] = metrics.average_precision(labels, scores)
                run |= {"cpu_seconds": round(seconds, 3), "n_train": len(train), "n_columns": X.shape[1]}
                with arguments.out.open("a") as file:
                    file.write(json.dumps(run) + "\n")
                print(f"{path.stem:20} {name:18} seed {seed}  AUROC {run['auroc']:.4f}  {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
