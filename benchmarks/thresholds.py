"""What thresholds, p-values, tail fits and the drift monitor promise, measured: the tables of docs/thresholds.md.

    python benchmarks/thresholds.py

Simulated scores, seeded; takes a few minutes on one core. Each table averages over calibration sets, which is what the
promises are about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tollad.calibration import DriftMonitor, benjamini_hochberg, fit_tail, p_values, threshold

Floats = NDArray[np.float64]
Rng = np.random.Generator


def print_table(title: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(header)} |\n|{'---|' * len(list(header))}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def percent(value: float, error: float | None = None) -> str:
    return f"{value:.2%}" if error is None else f"{value:.2%} ± {error:.2%}"


def mean_and_error(values: Floats) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def false_alarm_rates(n_sets: int = 4000) -> list[list[str]]:
    """The rate that a threshold has on new rows, for many calibration sets; exact for each of them."""
    rows = []
    draws: dict[str, Any] = {"exponential": stats.expon(), "rounded (Poisson, mean 3)": stats.poisson(3)}
    for name, scores in draws.items():
        for n, rate in ((19, 0.05), (99, 0.05), (1999, 0.05), (999, 0.001)):
            rng = np.random.default_rng(0)
            rates = np.array([scores.sf(threshold(scores.rvs(n, random_state=rng), rate)) for _ in range(n_sets)])
            low, high = np.quantile(rates, [0.05, 0.95])
            measured = percent(*mean_and_error(rates))
            rows.append([name, f"{n:,}", percent(rate), measured, f"{percent(low)} to {percent(high)}"])
    return rows


class Scores(NamedTuple):
    """Of calibration rows, new normal rows and new anomalies."""

    calibration: Floats
    normal: Floats
    anomalies: Floats


def as_promised(rng: Rng) -> Scores:
    return Scores(rng.normal(size=999), rng.normal(size=450), rng.normal(3, 1, 50))


def moved(rng: Rng) -> Scores:
    return Scores(rng.normal(size=999), rng.normal(0.5, 1, 450), rng.normal(3, 1, 50))


def spread(rng: Rng) -> Scores:
    return Scores(rng.normal(size=999), rng.normal(0, 1.5, 450), rng.normal(3, 1, 50))


def contaminated(rng: Rng) -> Scores:
    anomalous = rng.random(999) < 0.05
    return Scores(np.where(anomalous, rng.normal(3, 1, 999), rng.normal(size=999)), *as_promised(rng)[1:])


def mahalanobis(rng: Rng, *, held_out: bool) -> Scores:
    """Distances of 30 columns from a Gaussian fitted to 200 rows; anomalies are moved by 1 in each column."""
    train, rest = rng.normal(size=(200, 30)), rng.normal(size=(999, 30))
    mean, precision = train.mean(0), np.linalg.inv(np.cov(train.T))

    def score(X: Floats) -> Floats:
        return np.asarray(np.einsum("ij,jk,ik->i", X - mean, precision, X - mean))

    normal, anomalies = rng.normal(size=(450, 30)), rng.normal(1, 1, (50, 30))
    return Scores(score(rest if held_out else train), score(normal), score(anomalies))


SCENARIOS: dict[str, Callable[[Rng], Scores]] = {
    "exchangeable, as promised": as_promised,
    "drift: normal scores + 0.5 sd": moved,
    "drift: normal scores x 1.5": spread,
    "5% anomalies among the calibration rows": contaminated,
    "Mahalanobis distance, held-out rows": lambda rng: mahalanobis(rng, held_out=True),
    "the same, calibrated on its own training rows": lambda rng: mahalanobis(rng, held_out=False),
}


def broken_promises(rate: float = 0.05, fdr: float = 0.1, n_sets: int = 1000) -> list[list[str]]:
    rows = []
    for name, draw in SCENARIOS.items():
        rng = np.random.default_rng(0)
        results = []
        for _ in range(n_sets):
            calibration, normal, anomalies = draw(rng)
            above = threshold(calibration, rate)
            alarms = benjamini_hochberg(p_values(calibration, np.concatenate([normal, anomalies])), fdr)
            false, found = alarms[: len(normal)].sum(), alarms[len(normal) :]
            results.append(
                [(normal > above).mean(), (anomalies > above).mean(), false / max(1, alarms.sum()), found.mean()]
            )
        false_alarms, found, false_discoveries, discovered = np.array(results).T
        measured = [percent(*mean_and_error(values)) for values in (false_alarms, false_discoveries)]
        rows.append([name, measured[0], f"{found.mean():.0%}", measured[1], f"{discovered.mean():.0%}"])
    return rows


def rows_for_discoveries(fdr: float = 0.1, n_sets: int = 1000) -> list[list[str]]:
    """One anomaly in a hundred of 1,000 rows, at 5 standard deviations."""
    rows = []
    for n in (99, 999, 9999):
        rng = np.random.default_rng(0)
        results = []
        for _ in range(n_sets):
            scores = np.concatenate([rng.normal(size=990), rng.normal(5, 1, 10)])
            alarms = benjamini_hochberg(p_values(rng.normal(size=n), scores), fdr)
            results.append([alarms[:990].sum() / max(1, alarms.sum()), alarms[990:].mean()])
        false_discoveries, found = np.array(results).T
        rows.append([f"{n:,}", percent(*mean_and_error(false_discoveries)), f"{found.mean():.0%}"])
    return rows


TAILS = {
    "exponential": stats.expon(),
    "Gaussian": stats.norm(),
    "Student t, 4 degrees": stats.t(4),
    "lognormal": stats.lognorm(1),
    "uniform": stats.uniform(),
}


def tails(n_sets: int = 200) -> list[list[str]]:
    rows = []
    for n in (1000, 10000):
        rate = 1.001 / (10 * (n + 1))
        for name, scores in TAILS.items():
            rng = np.random.default_rng(0)
            ratios, covered, refused = [], [], 0
            for _ in range(n_sets):
                try:
                    fit = fit_tail(scores.rvs(n, random_state=rng))
                except ValueError:
                    refused += 1
                    continue
                ratios.append(scores.sf(fit.threshold(rate)) / rate)
                low, high = fit.interval(rate)
                covered.append(low <= scores.isf(rate) <= high)
            low, median, high = np.quantile(ratios, [0.05, 0.5, 0.95])
            spread_of = f"{low:.2g} to {high:.2g}"
            shares = [f"{np.mean(covered):.0%}", f"{refused / n_sets:.1%}"]
            rows.append([name, f"{n:,}", f"{np.mean(ratios):.2g}", f"{median:.2g}", spread_of, *shares])
    return rows


def simple_jumper(p: Floats, jump: float = 0.01) -> Floats:
    """The largest capital, (r,), of the simple jumper martingale over r streams of p-values, (t, r)."""
    bets = np.array([-1.0, 0.0, 1.0])[:, None]
    capital = np.full((3, p.shape[1]), 1 / 3)
    largest = np.ones(p.shape[1])
    for row in p:
        capital = ((1 - jump) * capital + jump * capital.mean(0)) * (1 + bets * (row - 0.5))
        largest = np.maximum(largest, capital.sum(0))
    return largest


def smoothed_p_values(calibration: Floats, scores: Floats, rng: Rng) -> Floats:
    """Return p-values that are uniform on average over calibration sets, which hold no ties."""
    n_at_least = len(calibration) - np.searchsorted(np.sort(calibration), scores)
    return (n_at_least + rng.random(len(scores))) / (len(calibration) + 1)


def false_warnings(n_streams: int = 400, n_rows: int = 10_000) -> list[list[str]]:
    rows = []
    for n in (100, 1000):
        rng = np.random.default_rng(0)
        streams = [(rng.normal(size=n), rng.normal(size=n_rows)) for _ in range(n_streams)]
        naive = simple_jumper(np.stack([smoothed_p_values(*stream, rng) for stream in streams], axis=1))
        for alpha in (0.01, 0.1):
            warned = np.array([DriftMonitor(calibration, alpha).update(x) is not None for calibration, x in streams])
            shares = [percent(*mean_and_error(values.astype(float))) for values in (warned, naive >= 1 / alpha)]
            rows.append([f"{n:,}", percent(alpha), *shares])
    return rows


SHIFTS: dict[str, Callable[[Floats, Rng], Floats]] = {
    "+ 0.25 sd": lambda x, rng: x + 0.25,
    "+ 0.5 sd": lambda x, rng: x + 0.5,
    "+ 1 sd": lambda x, rng: x + 1,
    "- 0.5 sd": lambda x, rng: x - 0.5,
    "- 1 sd": lambda x, rng: x - 1,
    "x 1.5": lambda x, rng: x * 1.5,
    "/ 1.5": lambda x, rng: x / 1.5,
    "5% anomalies at 5 sd": lambda x, rng: np.where(rng.random(len(x)) < 0.05, x + 5, x),
    "+ 1 sd, slowly over 5,000 rows": lambda x, rng: x + np.linspace(0, 1, len(x)),
}


def delays(n_streams: int = 100, n_rows: int = 5000) -> list[list[str]]:
    """Rows from the change to the warning."""
    rows = []
    for name, shift in SHIFTS.items():
        row = [name]
        for n, n_before in ((100, 0), (1000, 0), (100, 1000), (1000, 1000)):
            rng = np.random.default_rng(0)
            found = []
            for _ in range(n_streams):
                monitor = DriftMonitor(rng.normal(size=n))
                stream = [rng.normal(size=n_before), shift(rng.normal(size=n_rows), rng)]
                drift = monitor.update(np.concatenate(stream))
                found.append(drift.row - n_before if drift and drift.row > n_before else np.inf)
            seen = np.isfinite(found)
            row.append(f"{np.median(np.array(found)[seen]):.0f} ({seen.mean():.0%})" if seen.any() else "(0%)")
        rows.append(row)
    return rows


def main() -> None:
    print_table(
        "Table 1. False alarm rates of `threshold` on new normal rows, 4,000 calibration sets.",
        ["scores", "n", "asked", "measured", "90% of the sets"],
        false_alarm_rates(),
    )
    print_table(
        "Table 2. Kept and broken: 5% false alarms, 10% false discoveries (a tenth of the new rows are anomalies).",
        ["scores", "false alarm rate", "anomalies found", "false discovery rate", "anomalies found"],
        broken_promises(),
    )
    print_table(
        "Table 3. Calibration rows and discoveries: 10 anomalies at 5 sd among 1,000 rows, false discovery rate 10%.",
        ["n", "false discovery rate", "anomalies found"],
        rows_for_discoveries(),
    )
    print_table(
        "Table 4. Tail fits at a tenth of 1 / (n + 1): rate reached / rate asked, 200 calibration sets.",
        ["scores", "n", "mean", "median", "90% of the sets", "90% interval covers", "refused"],
        tails(),
    )
    print_table(
        "Table 5. Warnings within 10,000 rows without drift, 400 streams.",
        ["n", "alpha", "`DriftMonitor`", "simple jumper on p-values"],
        false_warnings(),
    )
    print_table(
        "Table 6. Median rows from a change to its warning (share of 100 streams with one in 5,000 rows), alpha 1%.",
        [
            "change of Gaussian scores",
            "n = 100, at once",
            "n = 1,000, at once",
            "n = 100, after 1,000",
            "n = 1,000, after 1,000",
        ],
        delays(),
    )


if __name__ == "__main__":
    main()
