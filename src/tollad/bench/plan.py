"""Which runs are trained as one stack."""

from __future__ import annotations

from collections.abc import Iterable

from tollad.bench.spec import Run
from tollad.method.networks import traits_of

# As `benchmarks/plan.py` measures on one thread of a CPU, see `benchmarks/results/plan.jsonl`: a step of B.3 costs a
# member least in a stack of about 20, a third less than alone, and more again beyond 100. Convolutions of a stack run
# one after another and gain nothing, while an interruption or a lack of memory would cost all of them.
_MEMBERS_DENSE = 20
_MEMBERS_OTHERS = 1


def plan(runs: Iterable[Run], n_members: int | None = None) -> list[list[Run]]:
    """Divide runs into stacks, in the order in which the first run of each comes.

    The same runs always give the same stacks, so that an interrupted one finds its checkpoint.

    Parameters
    ----------
    runs : iterable of Run
    n_members : int, optional
        Members of each stack, at most; by default what was measured to be the fastest on a CPU: 20 for dense networks
        and 1 for convolutions. On another device `measure_pace` tells.

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
