"""Measure windows and networks on a real, labelled series, and draw an unlabelled one: the figures of docs/series.md.

    python benchmarks/pressure.py FOLDER --ecg ecg.dat --out benchmarks/results/pressure.jsonl

FOLDER holds the two files of UCR Anomaly Archive 135 (InternalBleeding16) as the package aeon brings them; ecg.dat is
the electrocardiogram in `scipy/misc` of SciPy up to 1.11. Each line of the result is one fit; what is there already is
not measured again. Lines with a `detector` are of `SeriesDetector` by default: of the electrocardiogram the first 150
seconds are learnt from, which hold some such beats, and the highest scores at four beats of the 20 seconds from 180 on
are given beside the highest one before them.
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
from tollad import SeriesDetector, TollDetector, metrics
from tollad.calibration import threshold
from tollad.series.window import step_scores, windows

NAME = "135_UCR_Anomaly_InternalBleeding16"
N_CALIBRATION = 2500
RATE = 0.01
# Steps a second of the electrocardiogram, a third of its samples, and where four beats begin and end, in seconds.
HERTZ = 120
BEATS = ((193.4, 194.0), (195.25, 195.75), (197.1, 197.5), (198.6, 198.95))
VERSIONS = {
    "versions": {"tollad": tollad.__version__, "torch": torch.__version__, "python": platform.python_version()},
    "machine": platform.machine(),
}
RUNS = [(window, network, 0) for window in (32, 64, 128) for network in ("conv1d", "mlp_layernorm")]
RUNS += [(64, network, seed) for seed in (1, 2) for network in ("conv1d", "mlp_layernorm")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ecg", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train, _ = read(arguments.folder / f"{NAME}_TRAIN.csv")
    # The test file begins with the training series.
    series, labels = (column[len(train) :] for column in read(arguments.folder / f"{NAME}_TEST.csv"))
    found = arguments.out.read_text(encoding="utf-8").splitlines() if arguments.out.exists() else []
    lines = [json.loads(line) for line in found]
    measured = {(line["window"], line["network"], line["seed"]) for line in lines if "detector" not in line}
    detected = {(line["detector"], line["seed"]) for line in lines if "detector" in line}

    def write(line: dict[str, object]) -> None:
        text = json.dumps(line)
        print(text, flush=True)
        with open(arguments.out, "a", encoding="utf-8") as file:
            file.write(text + "\n")

    for run in RUNS:
        if run not in measured:
            write(measure(train, series, labels, *run))
    for seed in (0, 1):
        if ("pressure", seed) not in detected:
            write(detect(train, series, labels, seed))
        if arguments.ecg is not None and ("electrocardiogram", seed) not in detected:
            write(beats(arguments.ecg, seed))


def read(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return values, (T,), and labels, (T,) with 1 = anomaly, of a file of aeon's."""
    columns = np.loadtxt(path, delimiter=",", skiprows=1)
    return columns[:, 1], columns[:, 2].astype(np.int64)


def detect(
    train: NDArray[np.float64], series: NDArray[np.float64], labels: NDArray[np.int64], seed: int
) -> dict[str, object]:
    """Fit `SeriesDetector` by default, and test it on all steps that follow."""
    start = time.process_time()
    detector = SeriesDetector(random_state=seed).fit(train)
    seconds, scores = time.process_time() - start, detector.anomaly_score(series)
    odd = np.flatnonzero(labels)
    return {
        "detector": "pressure",
        "seed": seed,
        "cpu_seconds": round(seconds, 1),
        "windows": [detector.model_.window, detector.model_.context.window],
        "auroc": metrics.auroc(labels, scores),
        "average_precision": metrics.average_precision(labels, scores),
        "threshold": detector.threshold_,
        "highest": float(scores[odd].max()),
        "normal_quantile_99": float(np.quantile(scores[labels == 0], 0.99)),
        "anomaly": [int(odd[0]), int(odd[-1])],
        "alarms": [[event.begin, event.end] for event in detector.events(series)],
        **VERSIONS,
    }


def beats(path: Path, seed: int) -> dict[str, object]:
    """Fit `SeriesDetector` by default on an electrocardiogram, and give its scores at four ectopic beats."""
    millivolt = (np.load(path)["ecg"].astype(np.float64) - 1024) / 200
    series = millivolt.reshape(-1, 3).mean(1)
    detector = SeriesDetector(contamination=0.3, random_state=seed).fit(series[: 150 * HERTZ])
    new = series[180 * HERTZ : 200 * HERTZ]
    scores = detector.anomaly_score(new)

    def highest(begin: float, end: float) -> float:
        return round(float(scores[round((begin - 180) * HERTZ) : round((end - 180) * HERTZ)].max()), 3)

    return {
        "detector": "electrocardiogram",
        "seed": seed,
        "windows": [detector.model_.window, detector.model_.context.window],
        "contamination": 0.3,
        "threshold": detector.threshold_,
        "at_beats": [highest(*beat) for beat in BEATS],
        "before": highest(180, BEATS[0][0] - 0.2),
        "alarms": [[round(180 + at / HERTZ, 2) for at in (event.begin, event.end)] for event in detector.events(new)],
        **VERSIONS,
    }


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
        **VERSIONS,
    }


if __name__ == "__main__":
    main()
