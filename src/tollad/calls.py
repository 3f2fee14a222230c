"""Calls that do not depend on one another: carried out one by one, by processes, or by what else is handed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Each(Protocol):
    """Carries out a function once for each of some arguments."""

    def __call__(self, function: Callable[..., T], calls: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """Yield the number of each call, from 0, and what it returned, in whatever order they end.

        What a call raises is raised here, and ends the others. Calls are asked for when they can begin soon.
        """


def one_by_one(function: Callable[..., T], calls: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
    """Carry out calls in this process.

    Examples
    --------
    >>> list(one_by_one(pow, [(2, 3), (3, 2)]))
    [(0, 8), (1, 9)]
    """
    for number, arguments in enumerate(calls):
        yield number, function(*arguments)


@contextmanager
def processes(n: int) -> Iterator[Each]:
    """Give `n` processes of this machine that carry out calls for as long as the block runs.

    A process that is killed ends the work with an OSError.
    """

    def each(function: Callable[..., T], calls: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        left, waiting = iter(enumerate(calls)), dict[Future[T], int]()
        while True:
            while len(waiting) < 2 * n and (following := next(left, None)) is not None:
                waiting[pool.submit(function, *following[1])] = following[0]
            if not waiting:
                return
            for ended in wait(waiting, return_when=FIRST_COMPLETED).done:
                try:
                    yield waiting.pop(ended), ended.result()
                except BrokenProcessPool:
                    raise OSError("a process was killed, perhaps for lack of memory; use fewer processes") from None

    # Spawned, since a process with threads cannot be forked safely.
    pool = ProcessPoolExecutor(n, mp_context=get_context("spawn"))
    try:
        yield each
    finally:
        pool.shutdown(cancel_futures=True)
