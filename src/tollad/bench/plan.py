"""Divide runs into stacks."""

from __future__ import annotations

from collections.abc import Iterable

from tollad.bench.spec import Run
from tollad.method.networks import traits_of

# `benchmarks/plan.py` measures this on one thread of a CPU, see `benchmarks/results/plan.jsonl`. A step of the network
# of table B.3 costs least for each member in a stack of about 20: a third less than alone; beyond 100 the cost rises
# again. Members with convolutions run one after another, so stacking them gains nothing, while an interruption or a
# lack of memory would cost all of them.
_MEMBERS_DENSE = 20
_MEMBERS_OTHERS = 1


def plan(runs: Iterable[Run], n_members: int | None = None) -> list[list[Run]]:
    """Divide runs into stacks, ordered by the first run of each.

    The same runs always give the same stacks, so that an interrupted stack finds its checkpoint.

    Parameters
    ----------
    runs : iterable of Run
    n_members : int, optional
        Most members of each stack. The default was measured to be the fastest on a CPU: 20 for dense networks and 1 for
        convolutions. For another device, use `measure_pace`.

    Returns
    -------
    list of lists of Run
        The members of each stack.
    """
    alike: dict[tuple[object, ...], list[Run]] = {}
    for run in dict.fromkeys(runs):
        alike.setdefault(run.alike, []).append(run)
    stacks: list[list[Run]] = []
    for group in alike.values():
        size = n_members or (_MEMBERS_DENSE if traits_of(group[0].network).batched else _MEMBERS_OTHERS)
        stacks += [group[i : i + size] for i in range(0, len(group), size)]
    return stacks
