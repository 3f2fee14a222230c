"""Model files that were changed in any way, with a right digest: refused in one sentence, or the same scores.

They are sealed: parts that were changed do not belong to the others.
"""

from __future__ import annotations

import collections
import signal

import numpy as np
import pytest
from detectors import KINDS, make, people, table, train
from mutations import mutate

from tollad import ImageDetector, SeriesDetector
from tollad.io import artifact
from tollad.serve.answers import load

MOST_SECONDS = 20
RNG = np.random.default_rng(0)
STEPS = np.sin(np.arange(300)[:, None] / [5.0, 7.0]) + RNG.normal(scale=0.1, size=(300, 2))
PICTURES = RNG.random((30, 28, 28))


@pytest.fixture(scope="module")
def fitted():
    """Detectors of all kinds, and what to score."""
    calibrated = make(false_alarm_rate=0.2).fit(people(300))
    return {
        "people": (calibrated, people(50, seed=1)),
        **{kind: (train(kind), table(50, seed=1)) for kind in ("mlp", "mean")},
        **{kind: (train(kind), KINDS[kind][0]) for kind in ("series", "images", "table with gaps", "embeddings")},
        "steps": (SeriesDetector(window=8, steps=20, random_state=0).fit(STEPS), 2 * STEPS[:100]),
        "pictures": (ImageDetector(representation="gradients", random_state=0).fit(PICTURES), PICTURES[:5] ** 2),
    }


def outcome(path, rows, wanted) -> str:
    """What comes of a file: `refused`, `same` or, in words, something else."""
    try:
        scores = load(path).anomaly_score(rows)
    except (ValueError, OSError) as error:
        words = str(error)
        # A column of another name is missed in the rows, not in the file.
        named = path.name in words or "lacks columns that the model was fitted on" in words
        good = named and words.isprintable() and len(words) < 1000
        return "refused" if good else f"refused without a sentence: {words[:300]}"
    except Exception as error:  # noqa: BLE001 - whatever comes of a file is an outcome
        return f"{type(error).__name__}: {error}"
    return "same" if np.allclose(scores, wanted, rtol=1e-6, atol=0, equal_nan=True) else "other scores"


def mutations(fitted, path, n):
    """Yield what n mutations of each detector did and what came of it."""
    for number, (detector, rows) in enumerate(fitted.values()):
        detector.save(path)
        kind = artifact.described(path)["kind"]
        metadata, tensors = artifact.load(path, kind)
        metadata, wanted = {"kind": kind, **metadata}, detector.anomaly_score(rows)
        for seed in range(n):
            done, content = mutate(metadata, tensors, np.random.default_rng([number, seed]))
            path.write_bytes(content)
            yield done, outcome(path, rows, wanted)


def stop(*_: object) -> None:
    raise AssertionError(f"a file takes more than {MOST_SECONDS} seconds")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n", [12, pytest.param(500, marks=pytest.mark.slow)])
def test_every_mutation_is_refused_or_scores_the_same(fitted, tmp_path, n):
    counts = collections.Counter()
    signal.signal(signal.SIGALRM, stop)
    try:
        for done, found in mutations(fitted, tmp_path / "mutated.tollad", n):
            signal.alarm(MOST_SECONDS)
            assert found in ("refused", "same"), f"{done}: {found}"
            counts[found] += 1
    finally:
        signal.alarm(0)
    assert counts["refused"] > counts["same"] > 0
