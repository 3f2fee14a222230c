"""What a training step of M members costs, by the way the stack runs: `tollad.training.stack` chooses by this.

    python benchmarks/stack.py [--members 4] [--repeats 5]

CPU milliseconds of one forward and backward pass on one thread, the median of some repeats in turn, and the ratio to
the loop. "stack" is the product; "loop" calls M modules one by one; "vmap" is torch.func.vmap over stacked weights.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from tollad.method import networks
from tollad.method.networks import Autoencoder
from tollad.method.objective import Objective
from tollad.training.stack import Stack

OBJECTIVE = Objective({"l2": 1.0, "latent_l2": 1.0})


def by_stack(members: Sequence[Autoencoder], x: Tensor) -> Callable[[], None]:
    stack = Stack(members)

    def step() -> None:
        x_hat, z = stack(x)
        stack.backward(OBJECTIVE.loss(x, x_hat, z).sum())

    return step


def by_loop(members: Sequence[Autoencoder], x: Tensor) -> Callable[[], None]:
    def step() -> None:
        for member, rows in zip(members, x, strict=True):
            x_hat, z = member(rows)
            OBJECTIVE.loss(rows, x_hat, z).backward()

    return step


def by_vmap(members: Sequence[Autoencoder], x: Tensor) -> Callable[[], None]:
    weights, buffers = stack_module_state(list(members))

    def run(weights: dict[str, Tensor], buffers: dict[str, Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
        return functional_call(members[0], (weights, buffers), (rows,))

    def step() -> None:
        x_hat, z = vmap(run)(weights, buffers, x)
        OBJECTIVE.loss(x, x_hat, z).sum().backward()

    return step


WAYS = {"loop": by_loop, "stack": by_stack, "vmap": by_vmap}
CASES = {
    "mlp": ((30,), 16, 128),
    "mlp_layernorm": ((30,), 128, 128),
    "conv1d": ((3, 64), 16, 32),
    "conv": ((1, 28, 28), 16, 32),
    "conv28": ((1, 28, 28), 128, 4),
    "conv32": ((3, 32, 32), 64, 8),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, one thread, {arguments.members} members, CPU ms a step (ratio to the loop)")
    for name, (shape, latent_dim, batch) in CASES.items():
        members = [getattr(networks, name)(shape, latent_dim) for _ in range(arguments.members)]
        x = torch.randn(arguments.members, batch, *shape)
        steps = {way: make(members, x) for way, make in WAYS.items()}
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(arguments.repeats + 1):
            for way, step in steps.items():
                before = time.process_time()
                step()
                seconds[way].append(time.process_time() - before)
        median = {way: statistics.median(values[1:]) for way, values in seconds.items()}
        row = "  ".join(f"{way} {1e3 * t:8.1f} ({t / median['loop']:.2f})" for way, t in median.items())
        print(f"{name:14} batch {batch:4}  {row}", flush=True)


if __name__ == "__main__":
    main()
