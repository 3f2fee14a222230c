"""What all tests share: one thread, reproducible examples, and a guard over the global random states."""

from __future__ import annotations

import os

os.environ["SCIPY_ARRAY_API"] = "1"  # scipy reads it once, when it is imported; scikit-learn's own checks need it
# Small products do not pay for a second thread, and one thread gives the same bits everywhere.
os.environ["OMP_NUM_THREADS"] = "1"

import gc
import inspect
import random
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest

# What takes long to import is imported where it is needed: the process that divides the tests needs none of it.

hypothesis.settings.register_profile(
    "tollad",
    deadline=None,
    max_examples=30 if "CI" in os.environ else 20,
    derandomize="CI" in os.environ,
    # The guard below compares the states around all examples of a test.
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("tollad")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What collection makes stays until the end: the garbage collector need not look at it again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick", action="store_true", help="Run the first case of each test, and none that starts a process."
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--quick"):
        return
    first: dict[str, pytest.Item] = {}
    for item in items:
        if not (isinstance(item, pytest.Function) and _starts_process(item.function)):
            first.setdefault(item.nodeid.partition("[")[0], item)
    kept = list(first.values())
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _starts_process(test: Callable[..., object]) -> bool:
    return bool({"subprocess", "COMMAND"} & set(inspect.unwrap(test).__code__.co_names))


@pytest.fixture
def global_random_states_stay() -> Iterator[None]:
    """Fail a test that moved a global random state: nothing in tollad may draw from one."""
    before = _global_random_states()
    yield
    assert _global_random_states() == before, "a global random state was moved"


def _global_random_states() -> tuple[object, ...]:
    import numpy as np
    import torch

    numpy_state = tuple(part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state())
    return torch.get_rng_state().tolist(), numpy_state, random.getstate()


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty folder that TOLLAD_DATA names."""
    monkeypatch.setenv("TOLLAD_DATA", str(tmp_path / "sets"))
    return tmp_path / "sets"


@pytest.fixture
def real():
    """Skip, naming the set, where a real one is absent."""
    from tollad.datasets.catalogue import CATALOGUE, find
    from tollad.datasets.files import data_dir

    def need(name: str) -> str:
        if "TOLLAD_DATA" not in os.environ or not all(find(name, file) for file in CATALOGUE[name].files):
            pytest.skip(f"needs the data set {name} in TOLLAD_DATA ({data_dir()})")
        return name

    return need
