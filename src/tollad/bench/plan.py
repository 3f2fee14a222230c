"""Which runs are trained as one stack."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from tollad.bench import machine
from tollad.bench.execute import SHARED
from tollad.bench.spec import Run

_DENSE = ("mlp", "mlp_layernorm")

# Members of dense layers that are trained together: their batched products gain nothing from more.
_MOST_MEMBERS = 100
# A GPU should be busy with this many operations a step; where one member asks for as much, a stack gains nothing.
# A guess: no GPU has been measured yet.
_ENOUGH_FLOPS = 2.5e11
# Of the free memory of a GPU, what a stack may take: the estimate leaves out what convolutions need to work.
_SHARE_OF_MEMORY = 0.5


def plan(
    runs: Iterable[Run], shape_of: Callable[[Run], tuple[int, ...]], gpu_memory: float | None = None
) -> list[list[Run]]:
    """Divide runs into stacks, in the order in which the first run of each comes.

    Dense networks are trained together. Convolutions of a stack run one after another: on a CPU that gains nothing and
    would lose more to an interruption, so each run is a stack of its own; on a GPU small ones leave it idle, so as many
    are trained together as keep it busy and fit into its memory.

    Parameters
    ----------
    runs : iterable of Run
    shape_of : callable
        Run -> shape of one of its rows. Asked for convolutions on a GPU only.
    gpu_memory : float, optional
        Free bytes of the GPU; None on a CPU.

    Returns
    -------
    list of lists of Run
        The members of each stack.
    """
    alike: dict[tuple[object, ...], list[Run]] = {}
    for run in dict.fromkeys(runs):
        alike.setdefault(tuple(getattr(run, name) for name in SHARED), []).append(run)
    stacks: list[list[Run]] = []
    for group in alike.values():
        size = _n_members(group[0], shape_of, gpu_memory)
        stacks += [group[i : i + size] for i in range(0, len(group), size)]
    return stacks


def _n_members(run: Run, shape_of: Callable[[Run], tuple[int, ...]], gpu_memory: float | None) -> int:
    """How many members a stack of such runs should have."""
    if run.network in _DENSE:
        return _MOST_MEMBERS
    if gpu_memory is None:
        return 1
    cost = machine.cost(run.network, shape_of(run), run.latent_dim, run.hidden, run.batch_size)
    busy = math.ceil(_ENOUGH_FLOPS / cost.training_flops)
    return max(1, min(busy, int(_SHARE_OF_MEMORY * gpu_memory / cost.training_bytes)))
