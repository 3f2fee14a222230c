"""One thread that scores.

Requests that wait at the same time are scored together; each gets the bits it would get alone.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tollad.io.rows import with_names
from tollad.serve.answers import answers_of_scores
from tollad.serve.engines import Inputs
from tollad.serve.limits import RefusedError
from tollad.serve.models import Loaded, Served

_MOST_ROWS = 8192
"""A batch with this many rows takes no further request, and one with more is scored in parts of this many."""
_WRONG = (ValueError, TypeError, NotImplementedError, OverflowError)
"""Errors for rows that the model does not expect."""


@dataclass(frozen=True)
class Answer:
    """The answer to the rows of one request.

    Attributes
    ----------
    values : dict of str to ndarray or list, one value a row
    loaded : Loaded
        The model that answered.
    """

    values: dict[str, Any]
    loaded: Loaded


@dataclass(frozen=True, eq=False)
class Job:
    """One request: its model, the reader of its rows, and the future of its answer."""

    model: Served
    read: Callable[[Loaded], Any]
    n_reasons: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Answer]


Begun: TypeAlias = "tuple[Job, Answer | Exception | tuple[Loaded, Inputs]]"
"""A request with its answer, its error, or its rows."""


class Worker:
    """The thread that scores. It starts with the first request.

    Small requests that come while a large one is scored are answered between two of its parts.

    Parameters
    ----------
    tell : callable
        Called once for each batch.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell, self._jobs, self._lock = tell, queue.SimpleQueue[Job](), threading.Lock()
        self._large = deque[Begun]()  # that came while another one was scored
        self._thread: threading.Thread | None = None  # a thread started before a fork would not run after it

    async def answer(self, model: Served, read: Callable[[Loaded], Any], n_reasons: int = 0) -> Answer:
        """Return the answer of a model to the rows from `read`, with `n_reasons`; or the answer that `read` returns.

        Raises
        ------
        RefusedError
            If `read` raises it; and with the status 422 for rows that the model does not expect, with the sentence of
            their error.
        """
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tollad-score", daemon=True)
                self._thread.start()
        loop = asyncio.get_running_loop()
        job = Job(model, read, n_reasons, loop, loop.create_future())
        self._jobs.put(job)
        return await job.future

    def _run(self) -> None:
        while True:
            self._answer([self._large.popleft()] if self._large else self._waiting(self._jobs.get()))

    def _waiting(self, job: Job) -> list[Begun]:
        """Return a request with all others that wait by now, and their rows."""
        taken: list[Begun] = []
        n_rows = 0
        while True:
            taken.append((job, _begun(job)))
            n_rows += _size(taken[-1])
            try:
                if n_rows >= _MOST_ROWS:
                    return taken
                job = self._jobs.get_nowait()
            except queue.Empty:
                return taken

    def _answer(self, taken: Sequence[Begun], *, between: bool = False) -> None:
        """Answer requests; `between` says that this happens between two parts of a large one."""
        together: dict[Loaded, list[tuple[Job, Inputs]]] = defaultdict(list)
        ended: list[tuple[Job, Answer | Exception]] = []
        for job, begun in taken:
            if isinstance(begun, tuple):
                together[begun[0]].append((job, begun[1]))
            else:
                ended.append((job, begun))
        for loaded, waiting in together.items():
            ended += _scored(loaded, waiting, None if between else self._answer_small)
            self._tell()
        for job, result in ended:
            job.loop.call_soon_threadsafe(_deliver, job.future, result)

    def _answer_small(self) -> None:
        """Answer the requests that wait now; large ones wait on."""
        try:
            taken = self._waiting(self._jobs.get_nowait())
        except queue.Empty:
            return
        self._large += [one for one in taken if _size(one) > _MOST_ROWS]
        self._answer([one for one in taken if _size(one) <= _MOST_ROWS], between=True)


def _begun(job: Job) -> Answer | Exception | tuple[Loaded, Inputs]:
    """Return the rows of a request as inputs of an engine, its answer if the reader gave one, or the error."""
    loaded = job.model.loaded
    try:
        rows = job.read(loaded)
        if isinstance(rows, Answer):
            return rows
        return _explained(loaded, rows, job.n_reasons) if job.n_reasons else (loaded, loaded.table.engine.feed(rows))
    except RefusedError as refused:
        return refused
    except _WRONG as error:
        return RefusedError(422, str(error))
    except MemoryError:
        return RefusedError(413, "the rows need more memory than there is; send fewer at once")
    except Exception as error:  # noqa: BLE001 - a bug must end this request, and not the thread
        return error


def _explained(loaded: Loaded, rows: Any, n_reasons: int) -> Answer:
    detector = loaded.table.detector
    if isinstance(rows, np.ndarray) and hasattr(detector, "feature_names_in_"):
        rows = with_names(rows, loaded.table.reader.names)
    explanation = detector.explain(rows)
    n_reasons = min(n_reasons, detector.n_features_in_)
    values: dict[str, Any] = dict(answers_of_scores(detector, explanation.scores))
    values["reasons"] = [explanation.reasons(row, n_reasons) for row in range(len(explanation.scores))]
    return Answer(values, loaded)


def _size(one: Begun) -> int:
    return _n_rows(one[1][1]) if isinstance(one[1], tuple) else 0


def _scored(
    loaded: Loaded, waiting: Sequence[tuple[Job, Inputs]], between: Callable[[], None] | None
) -> list[tuple[Job, Answer | Exception]]:
    """Score the rows of requests together, and return the answer of each; `between` is called between two parts."""
    given = [inputs for _, inputs in waiting]
    joined = given[0]
    if len(given) > 1:
        joined = {name: np.concatenate([inputs[name] for inputs in given]) for name in joined}
    try:
        parts = []
        for start in range(0, max(1, _n_rows(joined)), _MOST_ROWS):
            if start and between is not None:
                between()
            part = {name: values[start : start + _MOST_ROWS] for name, values in joined.items()}
            parts.append(loaded.table.engine.answers(part))
        joint = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if loaded.monitor is not None:
            loaded.monitor.update(joint["anomaly_score"])
    except Exception as error:  # noqa: BLE001 - as above
        return [(job, error) for job, _ in waiting]
    ends = np.cumsum([_n_rows(inputs) for inputs in given])[:-1]
    split = {name: np.split(values, ends) for name, values in joint.items()}
    return [(job, Answer({name: split[name][at] for name in split}, loaded)) for at, (job, _) in enumerate(waiting)]


def _n_rows(inputs: Inputs) -> int:
    return len(next(iter(inputs.values())))


def _deliver(future: asyncio.Future[Answer], result: Answer | Exception) -> None:
    if future.cancelled():  # the client left
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
