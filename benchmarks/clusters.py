"""Detection quality between clusters, on tables that are made here, beside other detectors in the same run.

    python benchmarks/clusters.py [--rows 200000] [--methods tollad knn ...] [--seeds 0] [--out FILE]

Normal rows lie in 8 or 40 Gaussian clusters, of different sizes and shapes, in 2 to 10 columns. Three kinds of
anomalies, 500 of each, are told apart from 2,000 other normal rows, each by its own AUROC:

- between: on the line that joins two clusters, more than four standard deviations from both;
- local: near a cluster, four to six of its standard deviations from its center;
- shuffled: each column from another normal row.

Nothing is chosen by labels. CPU seconds are of one fit, on one thread. Neighbors are those of 20,000 training rows at
most, as users of larger tables would draw them. Each result is appended to FILE as one JSON line, and one that is there
is not computed again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from tollad import TollDetector, metrics

Floats = NDArray[np.float64]
Scores = Callable[[Floats], Floats]
KINDS = ("between", "local", "shuffled")
TABLES = [(8, 2), (8, 5), (8, 10), (40, 2), (40, 5), (40, 10)]
MOST_NEIGHBORS = 20_000


def make(n_rows: int, n_clusters: int, n_columns: int, seed: int) -> tuple[Floats, Floats, dict[str, Floats]]:
    """Return training rows, other normal rows, and anomalies of each kind."""
    rng = np.random.default_rng([seed, n_clusters, n_columns])
    centers = rng.uniform(-10, 10, (n_clusters, n_columns))
    shapes = rng.normal(size=(n_clusters, n_columns, n_columns)) / np.sqrt(n_columns)
    shapes *= rng.uniform(0.3, 1.0, (n_clusters, 1, 1))
    shares = rng.dirichlet(np.full(n_clusters, 2.0))

    def drawn(n: int, *, least: float = 0.0, most: float = np.inf) -> Floats:
        which = rng.choice(n_clusters, n, p=shares)
        noise = rng.normal(size=(n, n_columns))
        if least:
            noise *= (rng.uniform(least, most, n) / np.linalg.norm(noise, axis=1))[:, None]
        return centers[which] + np.einsum("nij,nj->ni", shapes[which], noise)

    def distances(rows: Floats) -> Floats:
        """How many standard deviations each row lies from each cluster: (n, n_clusters)."""
        inverse = np.linalg.inv(shapes)
        apart = rows[:, None] - centers
        return np.linalg.norm(np.einsum("cij,ncj->nci", inverse, apart), axis=2)

    def far(candidates: Callable[[int], Floats], least: float) -> Floats:
        found = np.empty((0, n_columns))
        while len(found) < 500:
            rows = candidates(2000)
            found = np.concatenate([found, rows[distances(rows).min(1) > least]])
        return found[:500]

    def between(n: int) -> Floats:
        one, other = (centers[rng.integers(n_clusters, size=n)] for _ in range(2))
        return one + rng.uniform(0.3, 0.7, (n, 1)) * (other - one)

    scale = np.sqrt(n_columns)
    normal = drawn(n_rows)
    kinds = {
        "between": far(between, 4 + scale),
        "local": far(lambda n: drawn(n, least=4 + scale, most=6 + scale), 3.5 + scale),
        "shuffled": far(
            lambda n: np.stack([normal[rng.integers(n_rows, size=n), j] for j in range(n_columns)], 1), 4 + scale
        ),
    }
    return normal, drawn(2000), kinds


def tollad(train: Floats, seed: int) -> Scores:
    return TollDetector(random_state=seed, device="cpu").fit(train).anomaly_score


def knn(train: Floats, seed: int) -> Scores:
    rows = np.random.default_rng(seed).permutation(train)[:MOST_NEIGHBORS]
    mean, spread = rows.mean(0), rows.std(0)
    neighbors = NearestNeighbors(n_neighbors=5).fit((rows - mean) / spread)
    return lambda queries: neighbors.kneighbors((queries - mean) / spread)[0].mean(1)


def isolation_forest(train: Floats, seed: int) -> Scores:
    forest = IsolationForest(random_state=seed).fit(train)
    return lambda queries: -forest.score_samples(queries)


METHODS: dict[str, Callable[[Floats, int], Scores]] = {
    "tollad": tollad,
    "knn": knn,
    "isolation_forest": isolation_forest,
}


def measure(method: str, n_rows: int, n_clusters: int, n_columns: int, seed: int) -> dict[str, Any]:
    train, normal, kinds = make(n_rows, n_clusters, n_columns, seed)
    before = time.process_time()
    score = METHODS[method](train, seed)
    seconds = time.process_time() - before
    of_normal = score(normal)
    result: dict[str, Any] = {"cpu_seconds": round(seconds, 2)}
    for kind, anomalies in kinds.items():
        labels = np.repeat([0, 1], [len(normal), len(anomalies)])
        result[kind] = metrics.auroc(labels, np.concatenate([of_normal, score(anomalies)]))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=int, default=[200_000])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/clusters.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    there = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.exists() else []
    versions = {library: version(library) for library in ("torch", "scikit-learn", "numpy")}
    with threadpool_limits(1):
        for n_rows in arguments.rows:
            for n_clusters, n_columns in TABLES:
                for method in arguments.methods:
                    for seed in arguments.seeds:
                        run: dict[str, Any] = {"rows": n_rows, "clusters": n_clusters, "columns": n_columns}
                        run |= {"method": method, "seed": seed}
                        if any(run.items() <= result.items() for result in there):
                            continue
                        run |= measure(method, n_rows, n_clusters, n_columns, seed) | {"versions": versions}
                        with arguments.out.open("a") as file:
                            file.write(json.dumps(run) + "\n")
                        shown = "  ".join(f"{kind} {run[kind]:.3f}" for kind in KINDS)
                        print(
                            f"{n_rows} x {n_columns}, {n_clusters} clusters, {method}: {shown}  {run['cpu_seconds']} s",
                            flush=True,
                        )


if __name__ == "__main__":
    main()
