"""The device of runs: its name, its speed in matrix products, and the operations of a network."""

from __future__ import annotations

import functools
import platform
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from tollad.bench.spec import RunPrecision
from tollad.method import networks
from tollad.method.networks import Autoencoder

# Sides of the matrices whose product is timed: large enough to use the device fully, small enough to take a second.
_SIDE = {"cpu": 512, "cuda": 8192}
_REPEATS = 5


def device_name(device: torch.device) -> str:
    """Name the processor, such as "NVIDIA H100 80GB HBM3" or "cpu, AMD EPYC"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{device.type}, {name}"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    found = {package: version(package) for package in ("tollad", "torch", "numpy")}
    return {"python": platform.python_version(), **found}


@contextmanager
def products(precision: RunPrecision) -> Iterator[None]:
    """Set how float32 products are computed within the block: in full precision, or in TF32 if the device has it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    # By default cuDNN computes convolutions in TF32, which is not float32.
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=precision == "tf32"):
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)


@functools.cache
def peak_flops(device: torch.device, precision: RunPrecision) -> float:
    """Measure the FLOP/s of a large matrix product: an upper bound for every network.

    It is measured once in each process, since it takes as long as a small run.
    """
    side = _SIDE[device.type]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    # Random numbers: zeros or ones would need less power and so run faster.
    matrix = torch.rand(side, side, generator=torch.Generator(device), device=device).to(dtype)
    fastest = float("inf")
    with products(precision):
        for _ in range(1 + _REPEATS):
            start = time.perf_counter()
            matrix @ matrix
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            fastest = min(fastest, time.perf_counter() - start)
    return 2.0 * side**3 / fastest


def warn_if_slow(device: torch.device, precision: RunPrecision) -> None:
    """Warn if the device computes slower in a lower precision than in float32, which it then only emulates.

    Warns
    -----
    UserWarning
        The message has both speeds.
    """
    if precision == "float32":
        return
    low, full = (peak_flops(device, p) / 1e9 for p in (precision, "float32"))
    if low < full:
        warnings.warn(
            f"{device_name(device)} multiplies matrices at {low:.3g} GFLOP/s in {precision} "
            f"and at {full:.3g} in float32; use precision='float32' here",
            stacklevel=2,
        )


def training_flops(
    network: str, shape: Sequence[int], latent_dim: int, hidden: Sequence[int] | None, batch_size: int
) -> int:
    """Count the floating-point operations of the products in a training step of one member, without computing anything.

    Parameters
    ----------
    network, latent_dim, hidden
        As in a `Run`.
    shape : sequence of int
        Of one row.
    batch_size : int
    """
    options: dict[str, Any] = {} if hidden is None else {"hidden": tuple(hidden)}
    with torch.device("meta"):
        template: Autoencoder = getattr(networks, network)(tuple(shape), latent_dim, **options)
        x = torch.zeros(batch_size, *shape)
    with FlopCounterMode(display=False) as counter:
        x_hat, z = template(x)
        (x_hat.sum() + z.sum()).backward()
    return counter.get_total_flops()
