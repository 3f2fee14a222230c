"""An exported graph beside the product, measured: the table of docs/onnx.md.

    python benchmarks/graphs.py --out benchmarks/results/graphs.jsonl

A detector is fitted to rows of random numbers, once as it is by default and once with one small network, and exported.
One thread, and both are timed in the same run: in each of nine rounds one after the other, the least of which counts.
What is imported is timed in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tollad import TollDetector
from tollad.bench import machine
from tollad.serve.runtime import Runtime

N_TRAINED, N_COLUMNS, N_ROWS, ROUNDS = 2_000, 20, 10_000, 9
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "one member": {"network": "mlp", "n_members": 1, "hidden": (64, 32), "latent_dim": 8, "neighbors": 0},
}
_IMPORTED = "import time; {}; print(time.process_time())"


def seconds(calls: Sequence[Callable[[], object]], repeat: int) -> list[float]:
    """Return the CPU seconds of each call, the least of all rounds."""
    least = [np.inf] * len(calls)
    for _ in range(ROUNDS):
        for number, call in enumerate(calls):
            begin = time.process_time()
            for _ in range(repeat):
                call()
            least[number] = min(least[number], (time.process_time() - begin) / repeat)
    return least


def measured(name: str, parameters: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return one row of results: of one kind of detector."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(N_TRAINED, N_COLUMNS))
    detector = TollDetector(random_state=0, false_alarm_rate=0.05, **parameters).fit(rows)
    begin = time.process_time()
    detector.to_onnx(folder / "m.onnx")
    export = time.process_time() - begin
    detector.save(folder / "m.tollad")
    runtime = Runtime.load(folder / "m.onnx")
    many = rng.normal(size=(N_ROWS, N_COLUMNS)) * 1.5
    one = many[:1]
    answers, scores = runtime.score(many), detector.anomaly_score(many)
    one_graph, one_product = seconds([lambda: runtime.score(one), lambda: detector.anomaly_score(one)], 200)
    graph, product = seconds([lambda: runtime.score(many), lambda: detector.anomaly_score(many)], 1)
    return {
        "case": name,
        "export_seconds": export,
        "onnx_bytes": (folder / "m.onnx").stat().st_size,
        "model_bytes": (folder / "m.tollad").stat().st_size,
        "one_row_us": {"graph": one_graph * 1e6, "product": one_product * 1e6},
        "rows_ms": {"graph": graph * 1e3, "product": product * 1e3},
        "largest_relative_difference": float(np.abs(answers["anomaly_score"] / scores - 1).max()),
        "labels_that_differ": int((answers["label"] != detector.predict(many)).sum()),
        "p_values_that_differ": int((answers["p_value"] != detector.p_value(many)).sum()),
    }


def imported() -> dict[str, float]:
    """Return the CPU seconds of imports, each in a process of its own, the least of five."""
    what = {
        "tollad.runtime and onnxruntime": "import tollad.runtime, onnxruntime",
        "TollDetector": "from tollad import TollDetector",
    }
    return {
        name: min(
            float(subprocess.run([sys.executable, "-c", _IMPORTED.format(line)], capture_output=True, text=True).stdout)
            for _ in range(5)
        )
        for name, line in what.items()
    }


def main() -> None:
    """Measure, print, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/graphs.jsonl"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: list[dict[str, Any]] = [{"case": "import", "cpu_seconds": imported()}]
    with tempfile.TemporaryDirectory() as folder:
        found += [measured(name, parameters, Path(folder)) for name, parameters in CASES.items()]
    with arguments.out.open("w", encoding="utf-8") as file:
        for row in found:
            print(json.dumps(row))
            file.write(
                json.dumps({**row, "machine": machine.device_name(torch.device("cpu")), **machine.versions()}) + "\n"
            )


if __name__ == "__main__":
    main()
