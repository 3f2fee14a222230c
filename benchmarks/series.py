"""Measure the detector of series beside others on NAB and SKAB: the tables of docs/series.md.

    python benchmarks/series.py FOLDER --out benchmarks/results/series.jsonl
    python benchmarks/series.py --table benchmarks/results/series.jsonl --docs docs/series.md

FOLDER holds `nab` (with windows.json) and `skab`. Trained is on the first 15 % of a series (SKAB: the first 400 steps),
tested on the rest. The defaults were chosen on every second file by sorted name, from the first on; nothing was chosen
on the "other half". Each line of the result is one method on one series; what is there is not measured again.

All methods of windows get the same windows (64 steps, or a sixth of the training part), and a step gets the mean score
of the windows that cover it; the nearest window is measured with 256 steps, too, the length of the long windows of
tollad. Their own threshold is the 99 % quantile of the scores of the training steps.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CONTAMINATION = 0.01
# Steps of the windows, and of the long windows beside them.
WINDOW, LONG = 64, 256
# What scores windows, and the scores of those trained on.
Fitted = tuple[Callable[[Floats], Floats], Floats]


@dataclass(frozen=True)
class Series:
    """A labelled series: values (T, C), labels (T,), and how many steps to train on."""

    name: str
    half: str
    values: Floats
    labels: NDArray[np.bool_]
    n_trained: int


def read_all(folder: Path) -> Iterator[Series]:
    windows = json.loads((folder / "nab" / "windows.json").read_text())
    for number, path in enumerate(sorted((folder / "nab").glob("*/*.csv"))):
        rows = list(csv.reader(path.open()))[1:]
        times = np.array([row[0] for row in rows], "datetime64[us]")
        labels = np.zeros(len(rows), np.bool_)
        name = path.relative_to(folder / "nab").as_posix()
        for begin, end in windows[name]:
            labels |= (times >= np.datetime64(begin)) & (times <= np.datetime64(end))
        yield Series(f"nab/{name}", half(number), column(rows, [1]), labels, int(0.15 * len(rows)))
    named = sorted(path for path in (folder / "skab").glob("*.csv") if "anomaly-free" not in path.name)
    for number, path in enumerate(named):
        rows = list(csv.reader(path.open(), delimiter=";"))[1:]
        labels = column(rows, [9])[:, 0] > 0
        yield Series(f"skab/{path.name}", half(number), column(rows, list(range(1, 9))), labels, 400)


def half(number: int) -> str:
    return "chosen on" if number % 2 == 0 else "other half"


def column(rows: list[list[str]], places: list[int]) -> Floats:
    return np.array([[float(row[place]) for place in places] for row in rows])


@dataclass(frozen=True)
class Answer:
    """Scores of the tested steps, and alarms at the method's own threshold."""

    scores: Floats
    alarms: NDArray[np.bool_]


def of_detector(name: str, *, causal: bool, adapt: bool) -> Callable[[Series], dict[str, Answer]]:
    """Return the detector of the product, with a fixed threshold or one that aims at a share of alarms."""

    def answers(series: Series) -> dict[str, Answer]:
        from tollad import SeriesDetector

        detector = SeriesDetector(causal=causal, adapt=adapt, contamination=CONTAMINATION, random_state=0)
        detector.fit(series.values[: series.n_trained])
        # The tested steps follow those trained on, which the first windows reach back to.
        context = detector.model_.context
        before = (detector.model_.window if context is None else context.window) - 1
        judged = detector.judge(series.values[series.n_trained - before :])
        return {name: Answer(judged.scores[before:], judged.alarms[before:])}

    return answers


def of_windows(name: str, fit: Callable[[Floats], Fitted], most: int = WINDOW) -> Callable[[Series], dict[str, Answer]]:
    """Return a method that scores flat windows of `most` steps, or a sixth of the training part."""

    def answers(series: Series) -> dict[str, Answer]:
        from tollad.series import step_scores, windows

        window = min(most, series.n_trained // 6)
        stride = max(1, window // 16)
        mean, scale = moments(series)
        values = (series.values - mean) / scale

        def cut(steps: Floats) -> Floats:
            found = windows(steps, window, stride)
            return found.reshape(len(found), -1)

        trained, tested = values[: series.n_trained], values[series.n_trained - window + 1 :]
        score, of_trained = fit(cut(trained))
        known = step_scores(of_trained, len(trained), window, stride)
        scores = step_scores(score(cut(tested)), len(tested), window, stride)[window - 1 :]
        return {name: at_quantile(scores, known)}

    return answers


def moments(series: Series) -> tuple[Floats, Floats]:
    trained = series.values[: series.n_trained]
    scale = trained.std(0)
    return trained.mean(0), np.where(scale > 0, scale, 1.0)


def at_quantile(scores: Floats, known: Floats) -> Answer:
    return Answer(scores, scores > np.quantile(known, 1 - CONTAMINATION))


def nearest(rows: Floats) -> Fitted:
    from tollad.methods import NearestNeighbours

    # A trained window is its own nearest; so it has half the distance to the next one as the mean of two.
    two = NearestNeighbours(n=2).fit(rows)
    return NearestNeighbours(n=1).fit(rows).anomaly_score, 2 * two.anomaly_score(rows)


def lof(rows: Floats) -> Fitted:
    from sklearn.neighbors import LocalOutlierFactor

    model = LocalOutlierFactor(n_neighbors=min(20, len(rows) - 1), novelty=True).fit(rows)
    return lambda new: -model.score_samples(new), -model.negative_outlier_factor_


def isolation_forest(rows: Floats) -> Fitted:
    from tollad.methods import IsolationForest

    model = IsolationForest().fit(rows)
    return model.anomaly_score, model.anomaly_score(rows)


def mahalanobis(rows: Floats) -> Fitted:
    from sklearn.covariance import LedoitWolf

    model = LedoitWolf().fit(rows)
    return lambda new: np.sqrt(model.mahalanobis(new)), np.sqrt(model.mahalanobis(rows))


def ecod(rows: Floats) -> Fitted:
    from pyod.models.ecod import ECOD

    model = ECOD().fit(rows)
    return lambda new: np.asarray(model.decision_function(new)), np.asarray(model.decision_scores_)


def moving_z(series: Series) -> dict[str, Answer]:
    window = min(WINDOW, series.n_trained // 6)
    before = np.lib.stride_tricks.sliding_window_view(series.values, window, axis=0)[:-1]
    _, scale = moments(series)
    spread = np.maximum(before.std(-1), 1e-6 * scale)
    scores = (np.abs(series.values[window:] - before.mean(-1)) / spread).max(1)
    scores = np.concatenate([np.zeros(window), scores])
    return {"moving z-score": at_quantile(scores[series.n_trained :], scores[: series.n_trained])}


def seasonal_naive(series: Series) -> dict[str, Answer]:
    from tollad.series.window import period_of

    period = period_of(series.values[: series.n_trained]) or 1
    _, scale = moments(series)
    error = np.abs(series.values[period:] - series.values[:-period]) / scale
    scores = np.concatenate([np.zeros(period), error.mean(1)])
    return {"seasonal naive": at_quantile(scores[series.n_trained :], scores[: series.n_trained])}


def matrix_profile(series: Series) -> dict[str, Answer]:
    import stumpy

    from tollad.series import step_scores

    window = min(WINDOW, series.n_trained // 6)
    trained, tested = series.values[: series.n_trained], series.values[series.n_trained - window + 1 :]

    def profile(steps: Floats, others: Floats | None) -> Floats:
        found = [
            stumpy.stump(steps[:, c].copy(), window)
            if others is None
            else stumpy.stump(steps[:, c].copy(), window, others[:, c].copy(), ignore_trivial=False)
            for c in range(steps.shape[1])
        ]
        distances = np.mean([part[:, 0].astype(np.float64) for part in found], axis=0)
        return step_scores(np.nan_to_num(distances, posinf=0.0), len(steps), window)

    return {"matrix profile": at_quantile(profile(tested, trained)[window - 1 :], profile(trained, None))}


def noise(series: Series) -> dict[str, Answer]:
    scores = np.random.default_rng(0).random(len(series.values))
    return {"random noise": at_quantile(scores[series.n_trained :], scores[: series.n_trained])}


METHODS: dict[tuple[str, ...], Callable[[Series], dict[str, Answer]]] = {
    ("tollad",): of_detector("tollad", causal=False, adapt=False),
    ("tollad, adapt",): of_detector("tollad, adapt", causal=False, adapt=True),
    ("nearest windows",): of_windows("nearest windows", nearest),
    ("nearest windows of 256",): of_windows("nearest windows of 256", nearest, LONG),
    ("LOF",): of_windows("LOF", lof),
    ("Isolation Forest",): of_windows("Isolation Forest", isolation_forest),
    ("PCA (Mahalanobis)",): of_windows("PCA (Mahalanobis)", mahalanobis),
    ("ECOD (PyOD)",): of_windows("ECOD (PyOD)", ecod),
    ("moving z-score",): moving_z,
    ("seasonal naive",): seasonal_naive,
    ("random noise",): noise,
    ("matrix profile",): matrix_profile,
    ("tollad, causal",): of_detector("tollad, causal", causal=True, adapt=False),
    ("tollad, causal and adapt",): of_detector("tollad, causal and adapt", causal=True, adapt=True),
}


def measure(series: Series, name: str, answer: Answer, seconds: float) -> dict[str, Any]:
    from tollad import metrics
    from tollad.series.measures import at_one_false_stretch, event_measures, vus_pr

    labels = series.labels[series.n_trained :].astype(np.int64)
    own, at_one = event_measures(labels, answer.alarms), at_one_false_stretch(labels, answer.scores)
    both = 0 < labels.sum() < len(labels)
    return {
        "series": series.name,
        "half": series.half,
        "method": name,
        "auroc": metrics.auroc(labels, answer.scores) if both else None,
        "average_precision": metrics.average_precision(labels, answer.scores) if both else None,
        "vus_pr": vus_pr(labels, answer.scores, 64) if both else None,
        "false_alarm_rate": metrics.false_alarm_rate(labels, answer.alarms),
        "n_events": own.n_events,
        "n_hit": own.n_hit,
        "n_false_stretches": own.n_false_stretches,
        "n_hit_at_one": at_one.n_hit,
        "delay_at_one": at_one.median_delay_share if at_one.n_hit else None,
        "cpu_seconds": round(seconds, 2),
    }


def run(folder: Path, out: Path) -> None:
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    done = {(line["series"], line["method"]) for line in map(json.loads, lines)}
    for names, answers in METHODS.items():
        for series in read_all(folder):
            if all((series.name, name) in done for name in names):
                continue
            start = time.process_time()
            found = answers(series)
            seconds = time.process_time() - start
            with out.open("a", encoding="utf-8") as file:
                for name, answer in found.items():
                    line = measure(series, name, answer, seconds) | {"python": platform.python_version()}
                    file.write(json.dumps(line) + "\n")
            print(names[0], series.name, round(seconds, 1), flush=True)


def table(path: Path, which: str) -> str:
    """Return the means over the series of one half as a table of Markdown."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    by_method: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        if which == line["half"]:
            by_method[line["method"]].append(line)

    def mean(rows: list[dict[str, Any]], key: str) -> float:
        known = [row[key] for row in rows if row[key] is not None]
        return float(np.mean(known)) if known else float("nan")

    def hit(rows: list[dict[str, Any]], key: str) -> float:
        return float(np.mean([row[key] / row["n_events"] for row in rows if row["n_events"]]))

    head = ("method", "AUROC", "average precision", "VUS-PR", "hit at one", "delay", "false alarms", "hit", "CPU s")
    text = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for method, rows in sorted(by_method.items(), key=lambda item: -mean(item[1], "average_precision")):
        delays = [row["delay_at_one"] for row in rows if row["delay_at_one"] is not None]
        values = (
            f"{mean(rows, 'auroc'):.3f}",
            f"{mean(rows, 'average_precision'):.3f}",
            f"{mean(rows, 'vus_pr'):.3f}",
            f"{hit(rows, 'n_hit_at_one'):.2f}",
            f"{np.median(delays):.2f}" if delays else "",
            f"{mean(rows, 'false_alarm_rate'):.3f}",
            f"{hit(rows, 'n_hit'):.2f}",
            f"{mean(rows, 'cpu_seconds'):.1f}",
        )
        text.append(f"| {method} | " + " | ".join(values) + " |")
    return "\n".join(text)


def write_tables(path: Path, docs: Path) -> None:
    """Replace what stands between the comments that mark the table of each half."""
    text = docs.read_text(encoding="utf-8")
    for which in ("other half", "chosen on"):
        begin, end = f"<!-- {which} -->\n", "\n<!-- end -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = before + begin + table(path, which) + end + after
    docs.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--docs", type=Path)
    arguments = parser.parse_args()
    if arguments.table is not None:
        write_tables(arguments.table, arguments.docs)
    else:
        run(arguments.folder, arguments.out)


if __name__ == "__main__":
    main()
