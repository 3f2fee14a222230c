"""What a request to `tollad serve` costs: the figures of docs/production.md.

    python benchmarks/serve.py --out benchmarks/results/serve.jsonl

Two detectors of random numbers are served, each by a process with one thread: one as it is by default, one with a
small network. For requests of one row and of 100 rows, some connections first send as fast as answers come; requests
are counted by the CPU time of the server. Then requests come at half of that rate, at random moments, and each is timed
from the moment it was due. The client runs beside the server, on another core where there is one. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tollad import TollDetector
from tollad.bench import machine

N_TRAINED, N_COLUMNS, N_BODIES = 2_000, 20, 64
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "one member": {"network": "mlp", "n_members": 1, "hidden": (64, 32), "latent_dim": 8, "neighbors": 0},
}
_COMMAND = (sys.executable, "-c", "from tollad.cli.main import main; main()", "serve")


class Client:
    """Connections that are kept open, each used by one request at a time."""

    def __init__(self, port: int, n_rows: int) -> None:
        rng = np.random.default_rng(1)
        self._port, self._free = port, asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()
        bodies = [json.dumps({"rows": rng.normal(size=(n_rows, N_COLUMNS)).tolist()}).encode() for _ in range(N_BODIES)]
        head = "POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
        self._requests = itertools.cycle([head.format(len(body)).encode() + body for body in bodies])

    async def connect(self, n: int) -> None:
        """Open connections."""
        for _ in range(n):
            self._free.put_nowait(await asyncio.open_connection("127.0.0.1", self._port))

    async def post(self) -> None:
        """Send one request, once a connection is free, and wait for its answer."""
        reader, writer = connection = await self._free.get()
        writer.write(next(self._requests))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 200"), head
        await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))
        self._free.put_nowait(connection)


def cpu_seconds(process: int) -> float:
    """Return the CPU time of a process."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def driven(port: int, process: int, n_rows: int, n_connections: int, seconds: float) -> dict[str, Any]:
    """Return what requests cost when all connections are busy, and how long they take at half of that rate."""
    client = Client(port, n_rows)
    await client.connect(n_connections)

    async def busy(until: float) -> int:
        n = 0
        while time.perf_counter() < until:
            await client.post()
            n += 1
        return n

    async def all_busy(length: float) -> int:
        until = time.perf_counter() + length
        return sum(await asyncio.gather(*(busy(until) for _ in range(n_connections))))

    await all_busy(1.0)
    used, began = cpu_seconds(process), time.perf_counter()
    n = await all_busy(seconds)
    used, passed = cpu_seconds(process) - used, time.perf_counter() - began
    found = {"n_rows": n_rows, "n_connections": n_connections, "requests_per_cpu_second": n / used}
    if n_connections == 1:
        return found

    rng, took = np.random.default_rng(2), []

    async def timed(due: float) -> None:
        await client.post()
        took.append(time.perf_counter() - due)

    tasks, due, end = [], time.perf_counter(), time.perf_counter() + seconds
    while (due := due + rng.exponential(2 * passed / n)) < end:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(timed(due)))
    await asyncio.gather(*tasks)
    p50, p99 = np.quantile(took, [0.5, 0.99])
    return {**found, "per_second": n / passed, "half_load_ms": {"p50": p50 * 1e3, "p99": p99 * 1e3}}


def measured(name: str, folder: Path, seconds: float) -> Iterator[dict[str, Any]]:
    """Yield the results of one kind of detector."""
    rows = np.random.default_rng(0).normal(size=(N_TRAINED, N_COLUMNS))
    TollDetector(random_state=0, false_alarm_rate=0.05, **CASES[name]).fit(rows).save(folder / "m.tollad")
    command = [*_COMMAND, str(folder / "m.tollad"), "--port", "0", "--threads", "1"]
    with open(folder / "log", "w+", encoding="utf-8") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            while not (said := (folder / "log").read_text(encoding="utf-8")).endswith("\n"):
                time.sleep(0.1)
            port = int(said.splitlines()[0].rpartition(":")[2])
            # The client times itself: a search for garbage through all that torch keeps would hold it up for 0.1 s.
            gc.collect()
            gc.freeze()
            for n_rows, n_connections in ((1, 1), (1, 32), (100, 1), (100, 32)):
                yield {"case": name, **asyncio.run(driven(port, process.pid, n_rows, n_connections, seconds))}
        finally:
            process.terminate()


def main() -> None:
    """Measure, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/serve.jsonl"))
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    here = {"machine": machine.device_name(torch.device("cpu")), **machine.versions()}
    with tempfile.TemporaryDirectory() as folder, arguments.out.open("w", encoding="utf-8") as file:
        for name in CASES:
            for row in measured(name, Path(folder), arguments.seconds):
                print(json.dumps(row), flush=True)
                file.write(json.dumps({**row, **here}) + "\n")
                file.flush()


if __name__ == "__main__":
    main()
