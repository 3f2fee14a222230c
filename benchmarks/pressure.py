"""Measure windows and networks on a real, labelled series, and draw an unlabelled one: the figures of docs/series.md.

    python benchmarks/pressure.py FOLDER --out benchmarks/results/pressure.jsonl

FOLDER holds the two files of UCR Anomaly Archive 135 (InternalBleeding16) as the package aeon brings them. Each line of
the result is one fit; what is there already is not measured again.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import tollad
from tollad import TollDetector, metrics
from tollad.calibration import threshold
from tollad.series.window import step_scores, windows

NAME = "135_UCR_Anomaly_InternalBleeding16"
N_CALIBRATION = 2500
RATE = 0.01
RUNS = [(window, network, 0) for window in (32, 64, 128) for network in ("conv1d", "mlp_layernorm")]
RUNS += [(64, network, seed) for seed in (1, 2) for network in ("conv1d", "mlp_layernorm")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train, _ = read(arguments.folder / f"{NAME}_TRAIN.csv")
    # The test file begins with the training series.
    series, labels = (column[len(train) :] for column in read(arguments.folder / f"{NAME}_TEST.csv"))
    found = arguments.out.read_text(encoding="utf-8").splitlines() if arguments.out.exists() else []
    measured = {(line["window"], line["network"], line["seed"]) for line in map(json.loads, found)}
    for run in RUNS:
        if run not in measured:
            line = json.dumps(measure(train, series, labels, *run))
            print(line, flush=True)
            with open(arguments.out, "a", encoding="utf-8") as file:
                file.write(line + "\n")


def read(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return values, (T,), and labels, (T,) with 1 = anomaly, of a file of aeon's."""
    columns = np.loadtxt(path, delimiter=",", skiprows=1)
    return columns[:, 1], columns[:, 2].astype(np.int64)


def measure(
    train: NDArray[np.float64],
    series: NDArray[np.float64],
    labels: NDArray[np.int64],
    window: int,
    network: str,
    seed: int,
) -> dict[str, object]:
    """Fit on the training series, put the threshold on the steps that follow, and test on the rest."""
    stride = window // 16
    detector = TollDetector(network=network, random_state=seed)

    def cut(steps: NDArray[np.float64]) -> NDArray[np.float64]:
        found = windows(steps, window, stride)
        return found if network == "conv1d" else found.reshape(len(found), -1)

    def score(steps: NDArray[np.float64]) -> NDArray[np.float64]:
        return step_scores(detector.anomaly_score(cut(steps)), len(steps), window, stride)

    start = time.perf_counter()
    detector.fit(cut(train))
    seconds = time.perf_counter() - start
    limit = threshold(score(series[:N_CALIBRATION]), RATE)
    truth, scores = labels[N_CALIBRATION:], score(series[N_CALIBRATION:])
    alarms, odd = scores > limit, truth == 1
    away = np.ones(len(odd), np.bool_)
    away[max(0, np.flatnonzero(odd)[0] - window) : np.flatnonzero(odd)[-1] + window + 1] = False
    return {
        "window": window,
        "stride": stride,
        "network": network,
        "seed": seed,
        "seconds": round(seconds, 1),
        "auroc": metrics.auroc(truth, scores),
        "average_precision": metrics.average_precision(truth, scores),
        "n_found": int((alarms & odd).sum()),
        "n_anomalies": int(odd.sum()),
        "false_alarm_rate": float(alarms[~odd].mean()),
        "false_alarm_rate_away": float(alarms[away].mean()),
        "highest": float(scores[odd].max()),
        "highest_away": float(scores[away].max()),
        "versions": {"tollad": tollad.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": platform.machine(),
    }


if __name__ == "__main__":
    main()
