"""A Ray cluster of two CPUs on this machine, started once for all tests here."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from commands import done, refused
from detectors import FEW_STEPS, table, train
from tollad.ray import BatchScorer

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(FEW_STEPS), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module", autouse=True)
def two_workers():
    # Ray's workers are nice to all others, which on a busy machine is to wait for minutes.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    # Ray starts processes with the folders of Python of this one.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), *map(str, _sources())]))
    before = signal.getsignal(signal.SIGTERM)
    ray.init(
        "local",
        num_cpus=2,
        object_store_memory=100 << 20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        _node_ip_address="127.0.0.1",
    )
    yield
    ray.shutdown()
    signal.signal(signal.SIGTERM, before)


def _sources() -> list[Path]:
    import tollad

    return [Path(tollad.__file__).parents[1]]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("ray")
    train("table", false_alarm_rate=0.2).save(home / "m.tollad")
    (home / "in").mkdir()
    for number in range(4):
        np.savetxt(
            home / "in" / f"{number}.csv", table(30, seed=number), delimiter=",", header="x1,x2,x3,x4,x5", comments=""
        )
    done("score", home / "m.tollad", home / "in" / "*.csv", "-o", f"{home}/here/")
    return home


def a_worker_at_work() -> int | None:
    """Return a process of the cluster that carries out a call."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            name, pid = (path / "cmdline").read_bytes(), int(path.name)
            if name.startswith(b"ray::_called") and os.getpid() in ancestors(pid):
                return pid
        except OSError:  # it has ended
            continue
    return None


def ancestors(pid: int) -> list[int]:
    found = []
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        found.append(pid)
    return found


def test_parts_are_those_of_one_machine_though_a_worker_is_killed(home):
    killed = []

    def kill_one() -> None:
        deadline = time.monotonic() + 200
        while not killed and time.monotonic() < deadline:
            if (pid := a_worker_at_work()) is not None:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            time.sleep(0.005)

    killer = threading.Thread(target=kill_one)
    killer.start()
    said = done("score", home / "m.tollad", home / "in" / "*.csv", "-o", f"{home}/there/", "--ray", "auto").stdout
    killer.join()
    assert killed
    assert said.startswith("4 parts written: 120 rows")
    for part in (home / "here").glob("*.parquet"):
        assert (home / "there" / part.name).read_bytes() == part.read_bytes()


def test_what_is_wrong_with_a_file_is_said_in_one_sentence(home):
    (home / "bad.csv").write_text("x1,x2,x3,x4,x5\n1,2,3,4,oh\n")
    said = refused("score", home / "m.tollad", home / "bad.csv", "-o", f"{home}/bad/", "--ray", "auto")
    assert "bad.csv, line 2, column 'x5': 'oh' is not a number" in said


def test_a_scorer_in_a_pipeline(home):
    rows = table(40, seed=7)
    batch = pa.table({f"x{column + 1}": rows[:, column] for column in range(5)})
    wanted = BatchScorer(home / "m.tollad")(batch)
    data = ray.data.from_arrow(batch).map_batches(
        BatchScorer, fn_constructor_args=((home / "m.tollad").read_bytes(),), batch_format="pyarrow", batch_size=7,
        concurrency=1,
    )  # fmt: skip
    found = pa.concat_tables(ray.get(data.to_arrow_refs()))
    assert found.sort_by("x1").equals(wanted.sort_by("x1"))
