"""What it costs to score many files in several ways: the figures of docs/scale.md.

    python benchmarks/scale.py --out benchmarks/results/scale.jsonl

Files of random numbers are scored one by one, by one and two processes, and by a Ray cluster with one and two workers
on this machine. Measured are seconds and the CPU time of all processes that take part. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from tollad import TollDetector
from tollad.bench import machine

N_COLUMNS = 20
SMALL: dict[str, Any] = {"network": "mlp", "n_members": 1, "hidden": (64, 32), "latent_dim": 8, "neighbors": 0}
WAYS = {"one by one": (), "2 processes": ("--jobs", "2"), "Ray, 1 worker": ("1",), "Ray, 2 workers": ("2",)}
_SCORE = "from tollad.cli.main import main; main()"
# A cluster of so many workers, to which the command is then handed.
_BY_RAY = "import ray, sys; ray.init('local', num_cpus=int(sys.argv.pop(1)), include_dashboard=False); "


def cpu_seconds(process: int, seen: dict[int, float]) -> None:
    """Note the CPU time of a process and of all that it started."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()
    except OSError:  # it has ended
        return
    seen[process] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    for child in children:
        cpu_seconds(int(child), seen)


def measured(way: str, model: Path, files: Path, out: Path) -> dict[str, float]:
    """Return the seconds and the CPU seconds of one command."""
    arguments = ["score", str(model), f"{files}/*.parquet", "-o", f"{out}/"]
    options = WAYS[way]
    if way.startswith("Ray"):
        command = [sys.executable, "-c", _BY_RAY + _SCORE, *options, *arguments, "--ray", "auto"]
    else:
        command = [sys.executable, "-c", _SCORE, *arguments, *options]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    began, seen = time.perf_counter(), dict[int, float]()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(0.1):
                cpu_seconds(process.pid, seen)

        watching = threading.Thread(target=watch)
        watching.start()
        assert process.wait() == 0
        ended.set()
        watching.join()
    return {"seconds": time.perf_counter() - began, "cpu_seconds": sum(seen.values())}


def main() -> None:
    """Measure, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scale.jsonl"))
    arguments = parser.parse_args()
    here = {"machine": machine.device_name(torch.device("cpu")), **machine.versions()}
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name, arguments.out.open("w", encoding="utf-8") as kept:
        folder = Path(name)
        TollDetector(random_state=0, **SMALL).fit(rng.normal(size=(2_000, N_COLUMNS))).save(folder / "m.tollad")
        for n_files, n_rows in ((4, 100), (4, 250_000)):
            files = folder / f"{n_files}-{n_rows}"
            files.mkdir()
            for number in range(n_files):
                rows = rng.normal(size=(n_rows, N_COLUMNS))
                pq.write_table(
                    pa.table([*rows.T], [f"x{j + 1}" for j in range(N_COLUMNS)]), files / f"{number}.parquet"
                )
            for number, way in enumerate(WAYS):
                found = measured(way, folder / "m.tollad", files, folder / f"out-{n_files}-{n_rows}-{number}")
                row = {"way": way, "n_files": n_files, "n_rows": n_files * n_rows, **found}
                print(json.dumps(row), flush=True)
                kept.write(json.dumps({**row, **here}) + "\n")
                kept.flush()


if __name__ == "__main__":
    main()
