"""Table 4's ten seeds as one stack, beside a loop over models written like the authors': CPU time on one thread.

    python benchmarks/arrhythmia.py [--repeats 1] [--steps 2000] [--out FILE]

Both train the network of B.3 with the paper's hyper-parameters, from the same initial weights, each step 100 distinct
rows, and score the validation rows every 20 steps; the loop trains one model at a time, with torch's Adam as it comes
(not fused), and keeps the weights of the best validation in a copy. Beside them the matrix products alone, one model at
a time and batched, show what is left to gain.

In each round every case runs once, one after another. CPU seconds are medians over the rounds; a ratio, to the loop, is
the median of the ratios within a round. Results are appended to FILE as JSON lines. The data must be in TOLLAD_DATA or
the user's cache.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import datetime
import json
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tollad import metrics
from tollad.bench import machine
from tollad.bench.execute import execute
from tollad.bench.protocols import Task, make_task
from tollad.bench.spec import Run, runs_of
from tollad.bench.tables import read_table
from tollad.method import networks

WIDTHS = (274, 256, 128, 16, 128, 256, 274)
TARGET = "<= 0.40"

Case = Callable[[list[Run]], dict[str, list[float]]]


def stack(runs: list[Run], task: Task) -> dict[str, list[float]]:
    """Return F1 in % of each seed by both selections."""
    rows = execute(runs, [task] * len(runs), torch.device("cpu"))
    assert rows is not None
    return {name: [100 * row[name]["test"] for row in rows] for name in ("best_validation", "last")}


def loop(runs: list[Run], task: Task) -> dict[str, list[float]]:
    """The same, one model after another."""
    train, validation, test = (torch.tensor(x, dtype=torch.float32) for x in (task.train, task.validation, task.test))
    found: dict[str, list[float]] = {"best_validation": [], "last": []}
    for run in runs:
        torch.manual_seed(run.seed)
        model = networks.mlp((274,), run.latent_dim)
        optimizer = torch.optim.Adam(model.parameters(), lr=run.learning_rate)
        generator = torch.Generator().manual_seed(run.batch_seed)
        best, best_weights = 0.0, copy.deepcopy(model.state_dict())
        for step in range(1, run.steps + 1):
            model.train()
            x = train[torch.randperm(len(train), generator=generator)[: run.batch_size]]
            optimizer.zero_grad()
            score(model, x, run.beta).mean().backward()
            optimizer.step()
            if step % run.validate_every == 0:
                value = f1(model, validation, task.validation_labels, run, task)
                if value > best:
                    best, best_weights = value, copy.deepcopy(model.state_dict())
        found["last"].append(100 * f1(model, test, task.test_labels, run, task))
        model.load_state_dict(best_weights)
        found["best_validation"].append(100 * f1(model, test, task.test_labels, run, task))
    return found


def score(model: networks.Autoencoder, x: Tensor, beta: float) -> Tensor:
    x_hat, z = model(x)
    return torch.linalg.vector_norm(x_hat - x, dim=1) + beta * torch.linalg.vector_norm(z, dim=1)


def f1(model: networks.Autoencoder, x: Tensor, labels: np.ndarray, run: Run, task: Task) -> float:
    model.eval()
    with torch.no_grad():
        return metrics.f1_at_share(labels, score(model, x, run.beta).numpy(), task.cut)


def products(runs: list[Run], *, batched: bool) -> dict[str, list[float]]:
    """Do the matrix products of training: forward, and those for both gradients."""
    members, rows = len(runs), runs[0].batch_size
    lead = (members,) if batched else ()
    layers = [
        (torch.randn(*lead, rows, i), torch.randn(*lead, o, i), torch.randn(*lead, rows, o))
        for i, o in pairwise(WIDTHS)
    ]
    for _ in range(runs[0].steps if batched else runs[0].steps * members):
        for number, (x, weight, gradient) in enumerate(layers):
            x @ weight.mT
            gradient.mT @ x
            if number:  # no one asks for the gradient of the input
                gradient @ weight
    return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/arrhythmia.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    runs = runs_of(read_table("table4").work(overrides={"steps": arguments.steps}))
    task = make_task("official_split", "arrhythmia")
    cases: dict[str, Case] = {
        "loop over models": lambda runs: loop(runs, task),
        "one stack": lambda runs: stack(runs, task),
        "products, one model at a time": lambda runs: products(runs, batched=False),
        "products, batched": lambda runs: products(runs, batched=True),
    }
    where = {
        "date": datetime.date.today().isoformat(),
        "device": machine.device_name(torch.device("cpu")),
        "n_threads": torch.get_num_threads(),
        "versions": machine.versions(),
        "steps": arguments.steps,
        "n_seeds": len(runs),
    }
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    measured: dict[str, dict[str, list[float]]] = {}
    for case in cases.values():
        case([dataclasses.replace(run, steps=20) for run in runs])  # what torch imports on first use is not training
    for _ in range(arguments.repeats):
        for name, case in cases.items():
            start = time.process_time()
            measured[name] = case(runs)
            seconds[name].append(time.process_time() - start)
    print(f"{where['device']}, 1 thread, {where['versions']}, {len(runs)} seeds of {arguments.steps} steps\n")
    print("| case | CPU s | ratio | target | F1, best validation | F1, last step |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    for name, values in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(values, seconds["loop over models"], strict=True))
        scores = [f"{np.mean(f):.1f} ± {np.std(f):.1f}" for f in measured[name].values()] or ["", ""]
        target = TARGET if name == "one stack" else ""
        print(f"| {name} | {statistics.median(values):.1f} | {ratio:.2f} | {target} | {' | '.join(scores)} |")
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"case": name, "cpu_seconds": values, "f1": measured[name], **where}) + "\n")


if __name__ == "__main__":
    main()
