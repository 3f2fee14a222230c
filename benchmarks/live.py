"""Measure what a series costs as it comes: a step of a stream, and a file of a million steps. CPU time, one thread.

    python benchmarks/live.py --out benchmarks/results/live.jsonl

A step is `SeriesDetector.update` of a causal model: the lowest mean over 200 steps of 25 tries, since other work on the
machine only adds to it, and as a ratio to 10,000 additions in Python, which tells how quick the machine is. A file is
scored by `tollad score` in a process of its own, the start and the reading of the model included.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

SMALL: dict[str, Any] = {"hidden": (8,), "latent_dim": 4, "n_members": 2, "steps": 60, "random_state": 0}
STEPS: dict[str, dict[str, Any]] = {
    "small, window 16, no rows kept": SMALL | {"window": 16, "neighbors": 0},
    "small, window 16": SMALL | {"window": 16},
    "default, window 64": {"window": 64, "random_state": 0},
}
FILES = (200_000, 1_000_000)


def wave(n: int, seed: int = 0) -> NDArray[np.float64]:
    return np.sin(np.arange(n) / 5) + 0.05 * np.random.default_rng(seed).normal(size=n)


def seconds(call: Callable[[], object], n: int, tries: int = 25) -> float:
    """Return the CPU time of a call: of the lowest mean over n of them."""
    found = []
    for _ in range(tries):
        start = time.process_time()
        for _ in range(n):
            call()
        found.append((time.process_time() - start) / n)
    return min(found)


def additions() -> None:
    total = 0
    for number in range(10_000):
        total += number


def steps() -> list[dict[str, Any]]:
    from tollad import SeriesDetector

    lines = []
    for name, options in STEPS.items():
        detector = SeriesDetector(causal=True, **options).fit(wave(2000))
        values = iter(np.tile(wave(1000, seed=1), 10))
        for _ in range(200):
            detector.update(next(values))
        loop = seconds(additions, 20)
        cost = seconds(lambda detector=detector, values=values: detector.update(next(values)), 200)
        lines.append({"case": name, "ms_a_step": 1e3 * cost, "ratio_to_10000_additions": cost / loop})
    return lines


def files() -> list[dict[str, Any]]:
    from tollad import SeriesDetector

    lines = []
    with tempfile.TemporaryDirectory() as folder:
        model, data = Path(folder, "small.tollad"), Path(folder, "new.csv")
        SeriesDetector(window=64, **SMALL).fit(wave(2000)).save(model)
        for n in FILES:
            data.write_text("x1\n" + "\n".join(f"{value:.6f}" for value in wave(n, seed=1)), encoding="utf-8")
            words = ["score", str(model), str(data), "-o", str(Path(folder, "scores.csv")), "--force"]
            code = f"from tollad.cli.main import main; main({words!r})"
            child = subprocess.Popen([sys.executable, "-c", code])
            _, status, used = os.wait4(child.pid, 0)
            if status:
                raise SystemExit(f"tollad score ended with {status}")
            cpu = used.ru_utime + used.ru_stime
            mib = used.ru_maxrss / 1024
            lines.append({"case": f"file of {n:,} steps", "cpu_seconds": cpu, "steps_a_second": n / cpu, "mib": mib})
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    about = {"python": platform.python_version(), "torch": torch.__version__, "load": os.getloadavg()[0]}
    with arguments.out.open("a", encoding="utf-8") as file:
        for line in (*steps(), *files()):
            file.write(json.dumps(line | about) + "\n")
            print(line, flush=True)


if __name__ == "__main__":
    main()
