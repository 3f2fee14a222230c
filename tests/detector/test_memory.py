"""What a large model file costs in memory, measured in a process of its own."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tollad import TollDetector

LOAD = """
import os, sys
from tollad import TollDetector

def kilobytes(what):  # ru_maxrss would count the memory of the process that started this one
    return int(open("/proc/self/status").read().split(what)[1].split()[0])

large, small = sys.argv[1:]
TollDetector.load(small)  # what the imports take
before = kilobytes("VmRSS:")
TollDetector.load(large)
print((kilobytes("VmHWM:") - before) * 1024 / os.path.getsize(large))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.filterwarnings("ignore:training did not improve")
def test_a_large_model_takes_at_most_four_times_its_file(tmp_path):
    rows = np.random.default_rng(0).normal(size=(32, 10))
    for name, hidden in {"small": (16, 8), "large": (1400, 900)}.items():
        detector = TollDetector(steps=1, n_members=4, hidden=hidden, batch_size=8, random_state=0)
        detector.fit(rows).save(tmp_path / name)
    assert os.path.getsize(tmp_path / "large") > 40e6
    done = subprocess.run(
        [sys.executable, "-c", LOAD, tmp_path / "large", tmp_path / "small"],
        capture_output=True, text=True, timeout=100, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert float(done.stdout) < 4
