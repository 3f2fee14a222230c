"""Detection quality on tables of labelled anomalies, beside other detectors in the same run.

    python benchmarks/quality.py TABLES [--methods tollad knn5 ...] [--seeds 0 1 2] [--contamination 0.05] [--out FILE]

TABLES is a folder of NPZ files with arrays X (n, d) and y (n,), 1 = anomaly, such as ADBench publishes. Protocol: one
class. A random half of the normal rows, at most 10,000, trains; the other normals and all anomalies are the test.
Nothing is resampled, no label is used but to leave anomalies out of training and to measure. With --contamination c,
anomalies drawn from the test make up that share of the training rows. Each result is appended to FILE as one JSON line
as soon as it is there, and a result that is there already is not computed again; `benchmarks/report.py` turns FILE into
a table.

Every detector runs with its library's defaults on the same rows, standardised for those that depend on the scale of the
columns and do not see to it themselves. CPU seconds are of one fit and one pass over the test rows, on one thread. The
methods named pyod_... and deepod_... need these libraries, and are left out without them.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import os
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
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
from threadpoolctl import threadpool_limits

from tollad import TollDetector, metrics

Floats = NDArray[np.float64]
Method = Callable[..., Floats]  # (train, test, seed) -> scores of the test rows


def one_class_split(X: Floats, y: Floats, seed: int, contamination: float) -> tuple[Floats, Floats, Floats]:
    """Return training rows, test rows and test labels.

    The protocol of `tollad.bench.protocols.random_half`, and anomalies among the training rows; but other draws of it,
    which all kept results are of.
    """
    rng = np.random.default_rng(seed)
    normal, anomalies = rng.permutation(np.flatnonzero(y == 0)), rng.permutation(np.flatnonzero(y == 1))
    train, test = normal[: min(len(normal) // 2, 10_000)], normal[len(normal) // 2 :]
    # At least one anomaly stays in the test.
    n_mixed_in = min(round(len(train) * contamination / (1 - contamination)), len(anomalies) - 1)
    test = np.concatenate([test, anomalies[n_mixed_in:]])
    return X[np.concatenate([train, anomalies[:n_mixed_in]])], X[test], y[test]


def tollad(train: Floats, test: Floats, seed: int, **parameters: Any) -> Floats:
    return TollDetector(random_state=seed, device="cpu", **parameters).fit(train).anomaly_score(test)


def nearest(train: Floats, test: Floats, seed: int, *, k: int) -> Floats:
    # Not `tollad.methods.NearestNeighbours`: seconds are compared here, and trees are faster than all distances.
    scale = StandardScaler().fit(train)
    neighbours = NearestNeighbors(n_neighbors=min(k, len(train))).fit(scale.transform(train))
    return neighbours.kneighbors(scale.transform(test))[0].mean(1)


def lof(train: Floats, test: Floats, seed: int) -> Floats:
    return -make_pipeline(StandardScaler(), LocalOutlierFactor(novelty=True)).fit(train).score_samples(test)


def ocsvm(train: Floats, test: Floats, seed: int) -> Floats:
    return -make_pipeline(StandardScaler(), OneClassSVM(nu=0.1)).fit(train).score_samples(test)


def isolation_forest(train: Floats, test: Floats, seed: int) -> Floats:
    return -IsolationForest(random_state=seed).fit(train).score_samples(test)


def pyod_autoencoder(train: Floats, test: Floats, seed: int) -> Floats:
    from pyod.models.auto_encoder import AutoEncoder

    return AutoEncoder(random_state=seed, verbose=0).fit(train).decision_function(test)


def pyod_deep_svdd(train: Floats, test: Floats, seed: int) -> Floats:
    from pyod.models.deep_svdd import DeepSVDD

    return DeepSVDD(train.shape[1], random_state=seed, verbose=0).fit(train).decision_function(test)


def pyod_lunar(train: Floats, test: Floats, seed: int) -> Floats:
    from pyod.models.lunar import LUNAR

    return LUNAR(random_state=seed).fit(train).decision_function(test)


def pyod_ecod(train: Floats, test: Floats, seed: int) -> Floats:
    from pyod.models.ecod import ECOD

    return ECOD().fit(train).decision_function(test)


def deepod(train: Floats, test: Floats, seed: int, *, name: str) -> Floats:
    from deepod.models import tabular

    scale = StandardScaler().fit(train)
    with contextlib.redirect_stdout(io.StringIO()):
        detector = getattr(tabular, name)(device="cpu", random_state=seed, verbose=0).fit(scale.transform(train))
        return detector.decision_function(scale.transform(test))


METHODS: dict[str, Method] = {
    "tollad": tollad,
    "knn1": partial(nearest, k=1),
    "knn5": partial(nearest, k=5),
    "lof": lof,
    "ocsvm": ocsvm,
    "isolation_forest": isolation_forest,
    "pyod_autoencoder": pyod_autoencoder,
    "pyod_deep_svdd": pyod_deep_svdd,
    "pyod_lunar": pyod_lunar,
    "pyod_ecod": pyod_ecod,
    "deepod_dif": partial(deepod, name="DeepIsolationForest"),
    "deepod_deep_svdd": partial(deepod, name="DeepSVDD"),
    "deepod_neutral": partial(deepod, name="NeuTraL"),
    "deepod_icl": partial(deepod, name="ICL"),
}
# What the methods of a library need, and how to get it. DeepOD asks for a torch of long ago, but runs on any.
LIBRARIES = {
    "pyod": (("pyod", "tqdm"), "pip install pyod tqdm"),
    "deepod": (("deepod", "pandas", "tqdm"), "pip install pandas tqdm && pip install --no-deps deepod"),
}


def installed(names: list[str]) -> list[str]:
    """Return the methods whose library is installed, and say which are left out."""
    there = list(names)
    for library, (packages, command) in LIBRARIES.items():
        own = [name for name in names if name.startswith(f"{library}_")]
        if own and not all(map(importlib.util.find_spec, packages)):
            print(f"left out: {', '.join(own)}; they need {', '.join(packages)}: {command}", flush=True)
            there = [name for name in there if name not in own]
    return there


def measure(method: Method, X: Floats, y: Floats, seed: int, contamination: float) -> dict[str, Any]:
    """Run one method on one split of one table."""
    train, test, labels = one_class_split(X, y, seed, contamination)
    before = time.process_time()
    scores = method(train, test, seed)
    seconds = time.process_time() - before
    return {
        "auroc": metrics.auroc(labels, scores),
        "average_precision": metrics.average_precision(labels, scores),
        "cpu_seconds": round(seconds, 3),
        "n_train": len(train),
        "n_columns": X.shape[1],
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
    parameters = {name: json.loads(value) for name, value in (item.split("=", 1) for item in arguments.set)}
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what is timed is the CPU
    torch.set_num_threads(1)
    with threadpool_limits(1):
        run_all(arguments, parameters)


def run_all(arguments: argparse.Namespace, parameters: dict[str, Any]) -> None:
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    there = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    methods = {name: METHODS[name] for name in installed(arguments.methods)}
    if "tollad" in methods:
        methods["tollad"] = partial(tollad, **parameters)
    libraries = [
        "torch",
        "scikit-learn",
        *(name for name in LIBRARIES if any(m.startswith(f"{name}_") for m in methods)),
    ]
    versions = {library: version(library) for library in libraries}
    noise = np.random.default_rng(0).normal(size=(100, 4))
    warm = set()
    for path in sorted(arguments.tables.glob("*.npz")):
        if arguments.only and path.stem not in arguments.only:
            continue
        with np.load(path) as file:
            X, y = file["X"].astype(np.float64), file["y"].ravel()
        for name, method in methods.items():
            for seed in arguments.seeds:
                run = {"table": path.stem, "method": name, "seed": seed, "contamination": arguments.contamination}
                run["parameters"] = parameters if name == "tollad" else {}
                if any(run.items() <= result.items() for result in there):
                    continue
                if name not in warm:
                    method(noise, noise, 0)  # imports and compilation are no part of a fit
                    warm.add(name)
                run |= measure(method, X, y, seed, arguments.contamination) | {"versions": versions}
                with arguments.out.open("a") as file:
                    file.write(json.dumps(run) + "\n")
                print(
                    f"{path.stem:20} {name:18} seed {seed}  AUROC {run['auroc']:.4f}  {run['cpu_seconds']:.1f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
