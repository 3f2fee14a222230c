"""What a request may ask for, and how one that asks for more is refused."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request

_LONGEST = 1000
"""Characters of a sentence."""


@dataclass(frozen=True)
class Limits:
    """What one request may ask for.

    Attributes
    ----------
    n_bytes : int
        Of a body.
    n_rows : int
    seconds : float
        Until a body is whole.
    n_waiting : int
        Requests at work at once; more are turned away.
    """

    n_bytes: int = 64 << 20
    n_rows: int = 1_000_000
    seconds: float = 30.0
    n_waiting: int = 256


class RefusedError(Exception):
    """A request that is not answered: its status, and the sentence that says why."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        # Names of columns, which the body gives, may be of any length.
        super().__init__(reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}...")
        self.status, self.headers = status, dict(headers or {})


def too_many(n: int, most: int, where: str = "the body has") -> RefusedError:
    """Return the refusal of more rows than a request may have."""
    return RefusedError(413, f"{where} {n:,} rows, and {most:,} are the most; send fewer at once")


@dataclass
class Gate:
    """Lets as many requests in at once as there may be, and reads their bodies."""

    limits: Limits
    token: str | None = None
    _n_inside: int = field(default=0, init=False)

    def check_token(self, request: Request) -> None:
        """Refuse a request without the token, in the time that any wrong one takes."""
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
        """Return the body, refused as soon as it is known to be too large."""
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
