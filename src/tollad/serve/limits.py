"""Limits of a request, and the refusal of a request that exceeds them."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request

_LONGEST = 1000
"""Most characters of a sentence in an answer."""


@dataclass(frozen=True)
class Limits:
    """Limits of one request.

    Attributes
    ----------
    n_bytes : int
        Most bytes of a body.
    n_rows : int
    seconds : float
        Time in which a body must arrive.
    n_waiting : int
        Most requests at work at once; more are refused.
    """

    n_bytes: int = 64 << 20
    n_rows: int = 1_000_000
    seconds: float = 30.0
    n_waiting: int = 256


class RefusedError(Exception):
    """The refusal of a request: a status, and a sentence that says why."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        # The sentence may hold names of columns from the body, of any length.
        super().__init__(reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}...")
        self.status, self.headers = status, dict(headers or {})


def too_many(n: int, most: int, where: str = "the body has") -> RefusedError:
    """Return the refusal of more rows than a request may have."""
    return RefusedError(413, f"{where} {n:,} rows, and {most:,} are the most; send fewer at once")


@dataclass
class Gate:
    """Checks the token of requests, limits how many are at work at once, and reads their bodies."""

    limits: Limits
    token: str | None = None
    _n_inside: int = field(default=0, init=False)

    def check_token(self, request: Request) -> None:
        """Refuse a request without the right token. The comparison takes the same time for any wrong one."""
        if self.token is None:
            return
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode("latin-1"), f"Bearer {self.token}".encode()):
            raise RefusedError(401, "send the token as: Authorization: Bearer TOKEN", {"www-authenticate": "Bearer"})

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Count a request for as long as the block runs; refuse it if there are too many."""
        self.check_room()
        self._n_inside += 1
        try:
            yield
        finally:
            self._n_inside -= 1

    def check_room(self) -> None:
        """Refuse a request if there are too many inside."""
        if self._n_inside >= self.limits.n_waiting:
            raise RefusedError(503, "too many requests are waiting; try again", {"retry-after": "1"})

    async def body(self, request: Request) -> bytes:
        """Return the body; refuse it as soon as it is known to be too large."""
        limits = self.limits
        too_large = RefusedError(413, f"the body is larger than {limits.n_bytes:,} bytes; send fewer rows at once")
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > limits.n_bytes:
            raise too_large
        parts, size = [], 0
        try:
            async with asyncio.timeout(limits.seconds):
                async for part in request.stream():
                    size += len(part)
                    if size > limits.n_bytes:
                        raise too_large
                    parts.append(part)
        except ClientDisconnect:
            raise RefusedError(400, "the client left before the body was whole") from None
        except TimeoutError:
            raise RefusedError(408, f"the body was not whole after {limits.seconds:g} s") from None
        return b"".join(parts)
