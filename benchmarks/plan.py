"""What a training step costs a member of the paper's networks, alone and in stacks: `tollad.bench.plan` rests on this.

    python benchmarks/plan.py [--device cpu] [--threads 1] [--precision float32] [--out FILE]

Milliseconds of a step of the whole training (batch, losses, gradients, Adam) on random rows, divided by the members.
The batch of "conv28" is the paper's 1000 divided by 20: on a processor time goes with the rows. Results are appended to
FILE as JSON lines.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path

import numpy as np
import torch

from tollad.bench import machine
from tollad.bench.execute import measure_pace
from tollad.bench.preprocessing import Preprocessing
from tollad.bench.protocols import Task
from tollad.bench.spec import PRECISIONS, Run
from tollad.training.build import find_device

# Network: shape of a row, latent_dim, batch, members.
CASES = {
    "mlp": ((274,), 16, 100, (1, 2, 5, 10, 20, 50, 100, 200)),
    "conv32": ((3, 32, 32), 64, 50, (1, 2, 4, 8)),
    "conv28": ((1, 28, 28), 128, 50, (1, 2, 4)),
}


def random_task(shape: tuple[int, ...], n: int) -> Task:
    rng = np.random.default_rng(0)
    if len(shape) == 1:
        rows, preprocessing = rng.normal(size=(n, *shape)), Preprocessing("none")
    else:
        rows, preprocessing = rng.integers(0, 256, (n, *shape), dtype=np.uint8), Preprocessing("scale", (0.1, 0.3))
    return Task("random", rows, None, None, rows, np.arange(n) % 2, preprocessing, "auroc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/plan.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = find_device(arguments.device)
    for network, (shape, latent_dim, batch, sizes) in CASES.items():
        task = random_task(shape, 2 * batch)
        recipe = {"network": network, "latent_dim": latent_dim, "batch_size": batch, "precision": arguments.precision}
        flops = machine.training_flops(network, shape, latent_dim, None, batch)
        for n_members in sizes:
            runs = [
                Run("random", "random", beta=1, learning_rate=1e-3, steps=1, validate_every=1, seed=seed, **recipe)
                for seed in range(n_members)
            ]
            seconds = measure_pace(runs, [task] * n_members, device).step / n_members
            row = {
                **recipe,
                "members": n_members,
                "ms_a_step_and_member": round(1e3 * seconds, 4),
                "gflops": round(flops / seconds / 1e9, 2),
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
                "device": machine.device_name(device),
                "threads": arguments.threads,
                "versions": machine.versions(),
            }
            with arguments.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{network:8} batch {batch:4}  {n_members:3} members  {1e3 * seconds:8.2f} ms a member", flush=True)


if __name__ == "__main__":
    main()
