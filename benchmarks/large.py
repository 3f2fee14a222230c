"""More data than memory holds, measured: the tables and the picture of docs/large.md.

    python benchmarks/large.py --out benchmarks/results/large.jsonl --picture docs/images/large.png

Text of random numbers is written to a scratch folder, which is removed afterwards, and given to the command line as a
user would: through a pipe to ``tollad score``, as a file to ``tollad fit``. Each command runs in a process of its own,
of which the most resident memory (VmHWM, so Linux only) is read at its end. With --adbench, a set of ADBench is
streamed as text, too, and its scores are compared with those in memory. The whole takes a quarter of an hour and 10 GB
of scratch space.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from tollad import TollDetector, metrics

N_COLUMNS = 20
CHUNK = 100_000
SMALL = ("--network", "mlp", "--hidden", "64,32", "--latent-dim", "8", "--n-members", "1")
MODELS = {"small": SMALL, "default": ()}

# What a child runs: the command line, and at its end what it took.
MEASURED = """
import atexit, json, sys, time

def report():
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    taken = {"peak_mebibytes": int(status["VmHWM"].split()[0]) / 1024, "cpu_seconds": time.process_time()}
    print("MEASURED" + json.dumps(taken), file=sys.stderr)

atexit.register(report)
if "--in-memory" in sys.argv:
    sys.argv.remove("--in-memory")
    from tollad.tables import large as stored

    stored.IN_MEMORY_BYTES = 1 << 60
from tollad.cli.main import main

main()
"""


def rows_of(number: int, n_rows: int) -> NDArray[np.float64]:
    """Return chunk `number` of the rows: a plane of 5 dimensions in 20, with noise, to six decimals."""
    rng = np.random.default_rng([0, number])
    plane = np.random.default_rng(1).normal(size=(5, N_COLUMNS))
    return (rng.normal(size=(n_rows, 5)) @ plane + 0.3 * rng.normal(size=(n_rows, N_COLUMNS))).round(6)


def write_text(path: Path, chunks: Iterable[NDArray[np.float64]]) -> None:
    with open(path, "wb") as file:
        for number, rows in enumerate(chunks):
            table = pa.table([pa.array(column) for column in rows.T], names=[f"c{j}" for j in range(rows.shape[1])])
            csv.write_csv(table, file, csv.WriteOptions(include_header=number == 0))


def generate(path: Path, n_rows: int) -> None:
    starts = range(0, n_rows, CHUNK)
    write_text(path, (rows_of(number, min(CHUNK, n_rows - start)) for number, start in enumerate(starts)))


def measured(arguments: Sequence[object], *, given: Path | None = None) -> dict[str, float]:
    """Run the command line, with a file through a pipe if one is given: what it took."""
    cat = None if given is None else subprocess.Popen(["cat", given], stdout=subprocess.PIPE)
    before = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, arguments)],
        stdin=None if cat is None else cat.stdout,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    seconds = time.perf_counter() - before
    if cat is not None:
        cat.wait()
    said, _, last = done.stderr.rpartition("MEASURED")
    if done.returncode:
        raise RuntimeError(said)
    return {"seconds": seconds, **json.loads(last)}


def score_part(scratch: Path, n_rows: int, n_rows_default: int) -> Iterable[dict[str, Any]]:
    """Scores of text from standard input: the start of the process counts, so that more rows show the rate."""
    generate(scratch / "train.csv", 5000)
    for name, options in MODELS.items():
        measured(["fit", scratch / "train.csv", "-o", scratch / f"{name}.tollad", *options, "--quiet"])
    for model, most in (("small", n_rows), ("default", n_rows_default)):
        for n in (most // 10, most):
            generate(scratch / "rows.csv", n)
            size = (scratch / "rows.csv").stat().st_size
            taken = measured(["score", scratch / f"{model}.tollad", "-"], given=scratch / "rows.csv")
            yield {"part": "score", "model": model, "rows": n, "bytes": size, **taken}


def fit_part(scratch: Path, n_rows: Sequence[int], n_rows_in_memory: Sequence[int]) -> Iterable[dict[str, Any]]:
    """Fits of files of growing size, beyond memory and within."""
    for n in n_rows:
        generate(scratch / "rows.csv", n)
        command = ["fit", scratch / "rows.csv", "-o", scratch / "m.tollad", *SMALL, "--quiet", "--force"]
        size = (scratch / "rows.csv").stat().st_size
        yield {"part": "fit", "way": "on disk", "rows": n, "bytes": size, **measured(command)}
        if n in n_rows_in_memory:
            yield {"part": "fit", "way": "in memory", "rows": n, "bytes": size, **measured([*command, "--in-memory"])}


def adbench_part(scratch: Path, path: Path, times: int) -> Iterable[dict[str, Any]]:
    """A labelled set of ADBench, streamed `times` over, beside the same scores in memory."""
    with np.load(path) as archive:
        rows, labels = archive["X"].astype(np.float64), archive["y"]
    rng = np.random.default_rng(0)
    normal = rng.permutation(np.flatnonzero(labels == 0))
    train, test = np.sort(normal[::2]), np.sort(np.concatenate([normal[1::2], np.flatnonzero(labels == 1)]))
    write_text(scratch / "train.csv", [rows[train]])
    write_text(scratch / "test.csv", [rows[test]] * times)
    measured(["fit", scratch / "train.csv", "-o", scratch / "m.tollad", "--quiet", "--force"])
    detector = TollDetector.load(scratch / "m.tollad")
    detector_in_memory = TollDetector(random_state=0).fit(rows[train])
    taken = measured(["score", scratch / "m.tollad", "-", "-o", scratch / "scores.parquet"], given=scratch / "test.csv")
    from pyarrow import parquet

    scores = parquet.read_table(scratch / "scores.parquet")["score"].to_numpy().reshape(times, -1)
    in_memory = detector_in_memory.anomaly_score(rows[test])
    yield {
        "part": "adbench",
        "set": path.stem,
        "columns": rows.shape[1],
        "training_rows": len(train),
        "rows": len(test) * times,
        "auroc_streamed": metrics.auroc(labels[test], scores[-1]),
        "auroc_in_memory": metrics.auroc(labels[test], in_memory),
        "largest_relative_difference": float(np.abs(scores / in_memory - 1).max()),
        "threshold": -detector.offset_,
        **taken,
    }


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw memory and time of fits against the number of rows."""
    from matplotlib.figure import Figure

    from tollad.io.files import atomic_write

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    memory, seconds = figure.subplots(1, 2)
    for way, colour, marker in (("in memory", "#b5651d", "s"), ("on disk", "#1f5a94", "o")):
        its = sorted((r for r in results if r["part"] == "fit" and r["way"] == way), key=lambda r: r["rows"])
        millions = [r["rows"] / 1e6 for r in its]
        memory.plot(millions, [r["peak_mebibytes"] / 1024 for r in its], color=colour, marker=marker, label=way)
        seconds.plot(millions, [r["cpu_seconds"] for r in its], color=colour, marker=marker, label=way)
    memory.set(ylabel="peak memory, GiB", ylim=(0, None))
    seconds.set(ylabel="CPU seconds", ylim=(0, None))
    for axes in (memory, seconds):
        axes.set(xlabel="million rows of 20 numbers", xlim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    memory.legend(frameon=False, title="tollad fit")
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=150)


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=["score", "fit"], choices=["score", "fit", "adbench"])
    parser.add_argument("--rows", type=int, default=17_000_000, help="scored with the small model")
    parser.add_argument("--rows-default", type=int, default=1_000_000, help="scored with the default model")
    parser.add_argument("--fit-rows", type=int, nargs="+", default=[1_000_000, 2_000_000, 4_000_000, 8_000_000])
    parser.add_argument("--fit-rows-in-memory", type=int, nargs="+", default=[1_000_000, 2_000_000])
    parser.add_argument("--adbench", type=Path, metavar="NPZ", help="a set of ADBench")
    parser.add_argument("--times", type=int, default=20, help="how many times over it is streamed")
    parser.add_argument("--scratch", type=Path, help="where to put a folder for the text, removed afterwards")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/large.jsonl"))
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    where = {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu_model(),
        "n_threads": int(os.environ.get("OMP_NUM_THREADS", "1")),
        "versions": {name: version(name) for name in ("tollad", "torch", "numpy", "pyarrow")},
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as name:
        scratch = Path(name)
        parts = {
            "score": lambda: score_part(scratch, arguments.rows, arguments.rows_default),
            "fit": lambda: fit_part(scratch, arguments.fit_rows, arguments.fit_rows_in_memory),
            "adbench": lambda: adbench_part(scratch, arguments.adbench, arguments.times),
        }
        for part in [*arguments.only, *(["adbench"] if arguments.adbench and "adbench" not in arguments.only else [])]:
            for result in parts[part]():
                print(json.dumps(result), flush=True)
                with arguments.out.open("a") as file:
                    file.write(json.dumps(result | where) + "\n")
    if arguments.picture:
        draw([json.loads(line) for line in arguments.out.read_text().splitlines()], arguments.picture)


if __name__ == "__main__":
    main()
