"""Speed and memory beside PyOD's autoencoder: CPU time on one thread, as ratios measured in turn.

    python benchmarks/speed.py [--repeats 5] [--only fit score ...] [--out FILE]

Both train one network, 30-64-32-64-30 with BatchNorm, PyOD's default, for 10 epochs of 20,000 rows in batches of
1,024, standardised by the library, and score the training rows at the end of a fit. PyOD's also has dropout, and a
BatchNorm and ReLU on the latent. Beside them run a bare torch loop over the same network, its rows as they are, and the
matrix products alone, so that what is left to gain can be seen. Two parts have the default detector, beside
PyOD's autoencoder as it comes, and beside Isolation Forest and nearest neighbors of scikit-learn.

In each round every case runs once, one after another. CPU times are medians over the rounds; a ratio, to the first case
of its part, is the median of the ratios within a round, which other work on the machine disturbs less. Results are
appended to FILE as JSON lines. PyOD and tqdm, which its autoencoder imports, must be installed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits
from torch import Tensor

from tollad import TollDetector
from tollad.method import networks

N_ROWS, N_COLUMNS, HIDDEN, LATENT_DIM = 20_000, 30, 64, 32
EPOCHS, BATCH, SMALL_BATCH = 10, 1024, 256
WIDTHS = (N_COLUMNS, HIDDEN, LATENT_DIM, HIDDEN, N_COLUMNS)

Cases = Mapping[str, Callable[[], object]]
# (part, case): what the ratio of the case to the part's first one should be.
TARGETS = {
    ("fit", "PyOD"): ">= 4",
    ("score", "PyOD"): ">= 3",
    ("score", "PyOD, its default batch of 32"): ">= 10",
    ("members", "10 members"): "<= 6",
}
ONE_ROW_TARGET = "<= 0.4 ms"
_STATUS = Path("/proc/self/status")


def rows() -> NDArray[np.float32]:
    """Draw rows near an 8-dimensional subspace, of about unit variance."""
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(N_ROWS, 8)) @ rng.normal(size=(8, N_COLUMNS)) / 3
    return (plane + 0.3 * rng.normal(size=(N_ROWS, N_COLUMNS))).astype(np.float32)


def n_steps(batch: int) -> int:
    return EPOCHS * -(-N_ROWS // batch)


def tollad(n_members: int = 1, batch: int = BATCH) -> TollDetector:
    return TollDetector(
        network="mlp",
        hidden=(HIDDEN,),
        latent_dim=LATENT_DIM,
        corruption=None,
        preprocess="standard",
        n_members=n_members,
        batch_size=batch,
        steps=n_steps(batch),
        device="cpu",
        random_state=0,
    )


def pyod() -> Any:
    from pyod.models.auto_encoder import AutoEncoder

    return AutoEncoder(
        hidden_neuron_list=[HIDDEN, LATENT_DIM], epoch_num=EPOCHS, batch_size=BATCH, device="cpu", verbose=0
    )


def torch_loop(x: Tensor, batch: int = BATCH) -> networks.Autoencoder:
    """Train tollad's network and loss with nothing around: rows drawn with replacement, no scores."""
    network = networks.mlp((N_COLUMNS,), LATENT_DIM, (HIDDEN,))
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    for _ in range(n_steps(batch)):
        drawn = x[torch.randint(len(x), (batch,))]
        x_hat, z = network(drawn)
        loss = (torch.linalg.vector_norm(x_hat - drawn, dim=1) + torch.linalg.vector_norm(z, dim=1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def products(n: int, repeats: int, *, backward: bool) -> Callable[[], None]:
    """Return what does the network's matrix products for n rows: forward, and those for both gradients."""
    layers = [(torch.randn(n, i), torch.randn(o, i), torch.randn(n, o)) for i, o in pairwise(WIDTHS)]

    def run() -> None:
        for _ in range(repeats):
            for number, (x, weight, gradient) in enumerate(layers):
                torch.mm(x, weight.T)
                if backward:
                    torch.mm(gradient.T, x)
                    if number:  # no one asks for the gradient of the input
                        torch.mm(gradient, weight)

    return run


def fit_cases(X: NDArray[np.float32]) -> Cases:
    return {
        "tollad": lambda: tollad().fit(X),
        "PyOD": lambda: pyod().fit(X),
        "bare torch loop": lambda: torch_loop(torch.from_numpy(X)),
        "matrix products": products(BATCH, n_steps(BATCH), backward=True),
    }


def score_cases(X: NDArray[np.float32]) -> Cases:
    ours, theirs, network = tollad().fit(X), pyod().fit(X), torch_loop(torch.from_numpy(X))

    def bare() -> None:
        with torch.inference_mode():
            for x in torch.from_numpy(X).split(BATCH):
                torch.linalg.vector_norm(network(x)[0] - x, dim=1)

    return {
        "tollad": lambda: ours.anomaly_score(X),
        "PyOD": lambda: theirs.decision_function(X),
        "PyOD, its default batch of 32": lambda: theirs.decision_function(X, batch_size=32),
        "bare torch loop": bare,
        "matrix products": products(BATCH, -(-N_ROWS // BATCH), backward=False),
    }


def one_row_cases(X: NDArray[np.float32]) -> Cases:
    row, times = X[-1:].copy(), 100
    ours, theirs = tollad().fit(X), pyod().fit(X)
    # Most rows that are scored are new. One that was trained on is also looked up among the kept rows.
    default = TollDetector(random_state=0, device="cpu", steps=50).fit(X[:2000])

    def repeated(score: Callable[[NDArray[np.float32]], object]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(times):
                score(row)

        return run

    return {
        "tollad": repeated(ours.anomaly_score),
        "tollad, the default detector (2 members)": repeated(default.anomaly_score),
        "PyOD": repeated(theirs.decision_function),
        "matrix products": products(1, times, backward=False),
    }


def member_cases(X: NDArray[np.float32]) -> Cases:
    return {
        "1 member": lambda: tollad(1, SMALL_BATCH).fit(X),
        "10 members": lambda: tollad(10, SMALL_BATCH).fit(X),
        "bare torch loop": lambda: torch_loop(torch.from_numpy(X), SMALL_BATCH),
        "matrix products": products(SMALL_BATCH, n_steps(SMALL_BATCH), backward=True),
    }


def default_fit_cases(X: NDArray[np.float32]) -> Cases:
    from pyod.models.auto_encoder import AutoEncoder

    few = X[:1000].astype(np.float64)
    return {
        "tollad": lambda: TollDetector(random_state=0, device="cpu").fit(few),
        "PyOD's autoencoder": lambda: AutoEncoder(random_state=0, verbose=0).fit(few),
        "Isolation Forest": lambda: IsolationForest(random_state=0).fit(few),
    }


def default_score_cases(X: NDArray[np.float32]) -> Cases:
    few, queries = X[:1000].astype(np.float64), X[1000:2000].astype(np.float64)
    ours = TollDetector(random_state=0, device="cpu").fit(few)
    forest = IsolationForest(random_state=0).fit(few)
    neighbors = NearestNeighbors(n_neighbors=5).fit(X[:10_000].astype(np.float64))
    return {
        "tollad": lambda: ours.anomaly_score(queries),
        "Isolation Forest": lambda: forest.score_samples(queries),
        "kNN on 10,000 rows": lambda: neighbors.kneighbors(queries),
    }


# Part: what it measures, its cases, and how many times a case does it.
PARTS: dict[str, tuple[str, Callable[[NDArray[np.float32]], Cases], int]] = {
    "fit": (f"fit, {n_steps(BATCH)} steps", fit_cases, 1),
    "score": (f"score {N_ROWS:,} rows", score_cases, 1),
    "one row": ("score one row", one_row_cases, 100),
    "default fit": ("fit 1,000 rows of 30 columns by default", default_fit_cases, 1),
    "default score": ("score 1,000 rows of 30 columns by default", default_score_cases, 1),
    "members": (f"fit in batches of {SMALL_BATCH}, {n_steps(SMALL_BATCH)} steps", member_cases, 1),
}


def in_turn(cases: Cases, repeats: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each case in each round; a first round, which warms up, does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(repeats + 1):
        for name, run in cases.items():
            before = time.process_time()
            run()
            if number:
                seconds[name].append(time.process_time() - before)
    return seconds


def peak_memory(library: str) -> dict[str, float]:
    """Return MiB at the peak of a fit and of scoring, and before it, with all imported, in a process of its own."""
    done = subprocess.run([sys.executable, __file__, "--peak", library], capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def report_peak(library: str) -> None:
    X = rows()
    if library == "tollad":
        tollad().set_params(steps=2).fit(X[:100])
        before = _high_water()
        tollad().fit(X).anomaly_score(X)
    else:
        pyod().set_params(epoch_num=1, batch_size=50).fit(X[:100])
        before = _high_water()
        pyod().fit(X).decision_function(X)
    print(json.dumps({"before": before, "peak": _high_water()}))


def _high_water() -> float:
    """Return the most memory this process ever held, in MiB. ru_maxrss would begin with that of its parent."""
    status = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def show_times(part: str, seconds: Mapping[str, list[float]], loops: int) -> None:
    first = next(iter(seconds.values()))
    for case, values in seconds.items():
        milliseconds = 1e3 * statistics.median(values) / loops
        shown = f"{milliseconds:,.0f}" if milliseconds > 99.5 else f"{milliseconds:.3g}"
        ratio = statistics.median(value / other for value, other in zip(values, first, strict=True))
        target = ONE_ROW_TARGET if part == "one row" and "tollad" in case else TARGETS.get((part, case), "")
        print(f"| {PARTS[part][0]} | {case} | {shown} | {ratio:.2f} | {target} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=[*PARTS, "memory"], choices=[*PARTS, "memory"])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/speed.jsonl"))
    parser.add_argument("--peak", choices=["tollad", "PyOD"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with threadpool_limits(1):
        if arguments.peak:
            report_peak(arguments.peak)
        else:
            measure_all(arguments.only, arguments.repeats, arguments.out)


def measure_all(parts: list[str], repeats: int, out: Path) -> None:
    where = {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu_model(),
        "n_threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in ("tollad", "torch", "numpy", "pyod")},
    }
    print(f"{where['cpu']}, {where['n_threads']} thread, {where['versions']}\n")
    out.parent.mkdir(parents=True, exist_ok=True)

    def keep(result: dict[str, Any]) -> None:
        with out.open("a") as file:
            file.write(json.dumps(result | where) + "\n")

    X = rows()
    print("| measured | case | CPU ms | ratio | target |\n| --- | --- | ---: | ---: | ---: |", flush=True)
    for part in [part for part in parts if part != "memory"]:
        _, cases, loops = PARTS[part]
        seconds = in_turn(cases(X), repeats)
        show_times(part, seconds, loops)
        for case, values in seconds.items():
            keep({"part": part, "case": case, "cpu_seconds": [value / loops for value in values]})
    if "memory" in parts and not _STATUS.exists():
        print("memory is left out: this system has no /proc to read the peak from")
    elif "memory" in parts:
        print("\n| peak memory of fit and score | MiB in all | MiB beyond imports |\n| --- | ---: | ---: |")
        for library in ("tollad", "PyOD"):
            memory = peak_memory(library)
            keep({"part": "memory", "case": library, "mebibytes": memory})
            print(f"| {library} | {memory['peak']:.0f} | {memory['peak'] - memory['before']:.1f} |", flush=True)


if __name__ == "__main__":
    main()
