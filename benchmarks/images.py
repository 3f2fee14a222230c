"""Denoising collapse on images, beside the paper's loss: MNIST digit 8 and CIFAR-10 automobiles at a small budget.

    python benchmarks/images.py [--seeds 0 1 2] [--steps 400] [--out FILE]

The default for tables corrupts the rows; that for images does not. Here both losses train the same small network
("conv") on the images of one class, with the same steps and rates and one member, and score the ten thousand official
test images. No label chooses anything: the last weights are measured. A fit of few steps may warn that it has
collapsed: its AUROC stands nevertheless. Beta is the detector's default, not the paper's for these sets. The data sets
are found in TOLLAD_DATA, see docs/data.md. Results are appended to FILE as JSON lines.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib.metadata import version
from pathlib import Path

import torch

from tollad import TollDetector, metrics
from tollad.bench.protocols import make_task

TASKS = (("mnist", 8), ("cifar10", 1))
LOSSES = {
    "paper": {"corruption": None},
    "paper, beta=0": {"corruption": None, "beta": 0.0},
    "denoising": {"corruption": "mixed"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/images.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for dataset, normal in TASKS:
        task = make_task("one_class", dataset, normal=normal)
        train, test = task.preprocessing(task.train), task.preprocessing(task.test)
        for name, parameters in LOSSES.items():
            for seed in arguments.seeds:
                begin = time.process_time()
                detector = TollDetector(
                    network="conv",
                    preprocess=None,
                    n_members=1,
                    steps=arguments.steps,
                    learning_rate=1e-3,
                    device="cpu",
                    random_state=seed,
                    **parameters,
                ).fit(train)
                seconds = time.process_time() - begin
                row = {
                    "dataset": dataset,
                    "normal": normal,
                    "loss": name,
                    "beta": detector.settings_.beta,
                    "seed": seed,
                    "steps": arguments.steps,
                    "auroc": metrics.auroc(task.test_labels, detector.anomaly_score(test)),
                    "cpu_seconds_of_fit": seconds,
                    "n_threads": 1,
                    "versions": {name: version(name) for name in ("tollad", "torch", "numpy")},
                }
                with arguments.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(
                    f"{dataset} {normal}  {name:14} seed {seed}  AUROC {row['auroc']:.4f}  fit {seconds:.0f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
