"""Detectors in forked processes, as of ``gunicorn --preload`` and `multiprocessing`: torch's threads are not there."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="processes cannot fork here"
)

# Rows enough for torch to share their work between threads.
SCRIPT = """
import multiprocessing, os, sys
import numpy as np
import torch
from tollad import TollDetector

torch.set_num_threads(2)
rows = np.random.default_rng(0).normal(size=(2000, 30))

def score(n):
    return detector.anomaly_score(rows[:n])

def scored_by_children():
    for n in (1, len(rows)):
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.write(write, score(n)[:1000].tobytes())
            os._exit(0)
        os.waitpid(child, 0)
        yield np.frombuffer(os.read(read, 8000))
        with multiprocessing.get_context("fork").Pool(2) as pool:
            yield from (scores[:1000] for scores in pool.map(score, [n, n]))

if sys.argv[2] == "fit":
    detector = TollDetector(steps=5, random_state=0).fit(rows)
    detector.save(sys.argv[1])
else:
    detector = TollDetector.load(sys.argv[1])
before = [*scored_by_children()]
own = score(len(rows))
for scores in [*before, *scored_by_children()]:
    np.testing.assert_allclose(scores, own[: len(scores)], rtol=1e-12)
assert torch.get_num_threads() == 2
print("scored")
"""


@pytest.mark.slow
def test_a_detector_scores_in_forked_processes(tmp_path):
    """Whether it was fitted, loaded or used before: each process here would hang for ever if torch had its threads."""
    script, model = tmp_path / "script.py", tmp_path / "m.tollad"
    script.write_text(SCRIPT)
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    for how in ("fit", "load"):
        run = [sys.executable, "-W", "ignore", script, model, how]
        done = subprocess.run(run, capture_output=True, text=True, timeout=120, env=environment)
        assert done.stdout == "scored\n", done.stderr


OTHERS = """
import multiprocessing, os, sys
import numpy as np
import torch
from tollad import ImageDetector, SeriesDetector, TollDetector

torch.set_num_threads(2)
rng = np.random.default_rng(0)
series = np.sin(np.arange(600) / 5)[:, None] + 0.1 * rng.normal(size=(600, 2))
images = rng.random((40, 1, 24, 24)).astype(np.float32)
made = [
    (TollDetector(steps=3, n_members=1, random_state=0), series),
    (SeriesDetector(window=20, steps=3, n_members=1, random_state=0), series),
    (ImageDetector(representation="gradients", random_state=0), images),
]

def answers(number):
    detector, given = made[number]
    scores = [detector.anomaly_score(given[:n]) for n in (30, len(given))]
    return [*scores, detector.explain(given[:40])] if explains(detector) else scores

def explains(detector):
    return isinstance(detector, TollDetector)

def same(one, other):
    for a, b in zip(one, other, strict=True):
        a, b = (getattr(x, "parts", x) for x in (a, b))
        np.testing.assert_allclose(np.nan_to_num(a), np.nan_to_num(b), rtol=1e-9)

if sys.argv[2] == "load":
    made = [(type(d).load(f"{sys.argv[1]}{k}"), given) for k, (d, given) in enumerate(made)]
else:
    for k, (detector, given) in enumerate(made):
        detector.fit(given)
        detector.save(f"{sys.argv[1]}{k}")
for used in range(2):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        theirs = pool.map(answers, range(3))
    for number, their in enumerate(theirs):
        same(their, answers(number))
    child = os.fork()
    if not child:
        for number in range(3):
            same(theirs[number], answers(number))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
print("answered")
"""


@pytest.mark.slow
def test_detectors_of_series_and_images_too(tmp_path):
    script, model = tmp_path / "script.py", tmp_path / "m.tollad"
    script.write_text(OTHERS)
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    for how in ("fit", "load"):
        run = [sys.executable, "-W", "ignore", script, model, how]
        done = subprocess.run(run, capture_output=True, text=True, timeout=400, env=environment)
        assert done.stdout == "answered\n", done.stderr
