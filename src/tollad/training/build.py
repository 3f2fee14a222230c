"""Build a stack from names and seeds on a device. If memory is too small, an error says so before it is allocated."""

from __future__ import annotations

import copy
import math
import os
import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.random import SeedSequence
from torch import Tensor, nn

from tollad.method import initial, networks
from tollad.method.networks import Autoencoder
from tollad.method.traits import Builder
from tollad.training.stack import Stack
from tollad.warn import warn

Modules: TypeAlias = nn.Module | tuple[nn.Module, nn.Module]

_CPU = torch.device("cpu")


def find_device(device: str | torch.device) -> torch.device:
    """Return the device of a name; "auto" is the first of cuda, mps and cpu that this machine has.

    Raises
    ------
    ValueError
        For an unknown name, or a device that this machine or this build of torch lacks.
    """
    counts = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    if isinstance(device, str) and device == "auto":
        return torch.device(next(name for name, count in counts.items() if count))
    try:
        if not isinstance(device, (str, torch.device)):
            raise TypeError
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"unknown device {device!r}; the known ones are auto, cpu, cuda, mps") from error
    if (found.index or 0) >= counts.get(found.type, 0):
        raise ValueError(f"device {str(device)!r} is not on this machine, or not in this torch; use device='auto'")
    return found


def find_saved_device(path: str | os.PathLike[str], device: str) -> str:
    """Return the device that a model was saved with, or the CPU with a warning if this machine lacks it.

    Raises
    ------
    ValueError
        For a name that torch does not know.
    """
    try:
        find_device(device)
    except ValueError:
        if not isinstance(device, str) or not re.fullmatch(r"(cuda|mps)(:\d+)?", device):
            raise
        warn(f"{os.fspath(path)}: was fitted on {device}, which is not on this machine; it runs on the CPU")
        return "cpu"
    return device


def member_seeds(seed: int, member: int) -> tuple[int, int]:
    """Return the seeds of a member's initial weights and of its batches, the same for any number of members."""
    weights, batches = SeedSequence(seed, spawn_key=(member,)).generate_state(2, np.uint64)
    return int(weights), int(batches)


def build_stack(
    network: str | Builder,
    shape: Sequence[int],
    latent_dim: int,
    hidden: Sequence[int] | None,
    seeds: Sequence[int],
    batch_size: int,
    device: torch.device = _CPU,
) -> Stack:
    """Build a stack of a named network in float32 on the CPU, for training on a device.

    Parameters
    ----------
    network : str or Builder
        Name of a builder in `tollad.method.networks`, or a builder; its layers are those that
        `tollad.method.initial.initialise` knows.
    shape : sequence of int
        Of one input row.
    latent_dim : int
    hidden : sequence of int
        Widths of the layers between input and latent, maybe none. None is the default of the network.
    seeds : sequence of M ints
        Of the initial weights, one a member.
    batch_size : int
        Rows in a training step, for the estimate of memory.
    device : torch.device
        Where the stack is going to be trained, for the estimate of memory.

    Raises
    ------
    ValueError
        If the network does not take such rows, or does not return reconstructions and latents of them.
    MemoryError
        If the training needs more memory than the device has.
    """
    options: dict[str, Any] = {} if hidden is None else {"hidden": tuple(hidden)}
    with torch.device("meta"):
        template = networks.find_builder(network)(tuple(shape), latent_dim, **options)
    _refuse_beyond_memory(template, len(seeds), 0, device)
    # No to_empty and no pass on the meta device: both import torch's compiler, which takes longer than many fits.
    empty = {name: torch.empty(tensor.shape, dtype=tensor.dtype) for name, tensor in template.state_dict().items()}
    template.load_state_dict(empty, assign=True)
    members = [template, *(copy.deepcopy(template) for _ in seeds[1:])]
    for member, seed in zip(members, seeds, strict=True):
        initial.initialise(member, seed)
    x = torch.zeros(1, *shape)
    values, x_hat, z = _values_of_a_pass(template, x)
    _check_outputs(x, x_hat, z)
    _refuse_beyond_memory(template, len(seeds), batch_size * values, device)
    return Stack(members)


def custom_stack(
    network: Modules, shape: Sequence[int], n_members: int, device: torch.device = _CPU
) -> tuple[Stack, int]:
    """Return a stack of copies of modules of the user, with their weights, and the length of their latent.

    Parameters
    ----------
    network : (encoder, decoder) or nn.Module
        Modules (B, *shape) -> (B, latent_dim) and back; or one that returns ``(x_hat, z)``, such as an autoencoder with
        skip connections.

    Raises
    ------
    ValueError
        If the modules do not map (B, *shape) to (B, latent_dim) and (B, *shape).
    MemoryError
        If the training needs more memory than the device has.
    """
    own = copy.deepcopy(network)  # copied together, so that shared weights stay shared
    template = (own if isinstance(own, nn.Module) else Autoencoder(*own)).float().cpu().eval()
    x = torch.zeros(2, *shape)
    with torch.no_grad():
        try:
            outputs: Any = template(x) if isinstance(own, nn.Module) else _in_parts(*own, x)
        except RuntimeError as error:
            raise ValueError(f"the network does not take rows of shape {tuple(shape)}: {error}") from error
    if not (isinstance(outputs, tuple) and len(outputs) == 2):
        raise ValueError("a network of one module must return (x_hat, z), two tensors")
    x_hat, z = outputs
    _check_outputs(x, x_hat, z)
    _refuse_beyond_memory(template, n_members, 0, device)
    return Stack([template] * n_members), z.shape[1]


def _in_parts(encoder: nn.Module, decoder: nn.Module, x: Tensor) -> tuple[Any, Any]:
    """Return ``(x_hat, z)``. If z is no tensor, it is returned as x_hat, too: a decoder could not take it."""
    z = encoder(x)
    return decoder(z) if isinstance(z, Tensor) else z, z


def _check_outputs(x: Tensor, x_hat: Any, z: Any) -> None:
    if not (isinstance(z, Tensor) and isinstance(x_hat, Tensor)):
        raise ValueError("the encoder must return one tensor, and so must the decoder")
    if z.ndim != 2 or len(z) != len(x):
        raise ValueError(f"the encoder must return (batch, latent_dim); it made {tuple(z.shape)} of {tuple(x.shape)}")
    if x_hat.shape != x.shape:
        raise ValueError(
            f"the decoder must return the shape of the rows, {tuple(x.shape)}; it made {tuple(x_hat.shape)}"
        )


def _values_of_a_pass(template: nn.Module, x: Tensor) -> tuple[int, Any, Any]:
    """Return how many values the layers of one pass keep for the backward pass, and the outputs of the pass."""
    counts: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda _module, _inputs, output: counts.append(output.numel()))
        for layer in template.modules()
        if not any(True for _ in layer.children())
    ]
    with torch.no_grad():
        x_hat, z = template.eval()(x)  # in training mode BatchNorm refuses a single row
    template.train()
    for hook in hooks:
        hook.remove()
    return sum(counts), x_hat, z


def _refuse_beyond_memory(template: nn.Module, n_members: int, values_of_a_pass: int, device: torch.device) -> None:
    weights = sum(parameter.numel() for parameter in template.parameters())
    # Four bytes each for weights, gradients and Adam's two moments, and for the layers' values and their gradients.
    _refuse(n_members, n_members * 4 * (4 * weights + 2 * values_of_a_pass), device)
    if device.type == "cuda":
        # The members are made in the memory of the machine, which may be less than that of the GPU.
        _refuse(n_members, n_members * 4 * 2 * weights, _CPU)


def _refuse(n_members: int, needed: float, device: torch.device) -> None:
    need_memory(needed, f"{n_members} members need", "lower n_members, batch_size or hidden", device)


def need_memory(needed: float, who: str, remedy: str, device: torch.device = _CPU) -> None:
    """Raise a MemoryError if a device has less free memory than needed.

    Parameters
    ----------
    needed : float
        Bytes.
    who, remedy : str
        For the message: what needs the memory, with its verb, and what to do.
    device : torch.device
        By default the machine's own memory.
    """
    available = _available_memory(device)
    if needed > available:
        place = f" on {device}" if device.type == "cuda" else ""
        raise MemoryError(
            f"{who} about {needed / 2**30:.1f} GiB of memory, {available / 2**30:.1f} GiB are free{place}; {remedy}"
        )


def _available_memory(device: torch.device) -> float:
    """Return the free memory of a device in bytes; infinity if it is unknown."""
    if device.type == "cuda":
        # Memory that torch has cached is free for this process.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        pass
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return math.inf
