"""Calls that do not depend on one another: carried out one by one, by processes, or by what else is handed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Each(Protocol):
    """Carries out a function once for each of some arguments."""

    def __call__(self, function: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """Yield the number of each call, from 0, and what it returned, in whatever order they end.

        What a call raises is raised here, and ends the others.
        """


def one_by_one(function: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
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

    A process that is lost ends the work with `concurrent.futures.process.BrokenProcessPool`.
    """

    def each(function: Callable[..., T], calls: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        numbers = {pool.submit(function, *arguments): number for number, arguments in enumerate(calls)}
        for ended in as_completed(numbers):
            yield numbers[ended], ended.result()

    # Not forked: the memory of a parent with threads is no place to begin in.
    pool = ProcessPoolExecutor(n, mp_context=get_context("spawn"))
    try:
        yield each
    finally:
        pool.shutdown(cancel_futures=True)
