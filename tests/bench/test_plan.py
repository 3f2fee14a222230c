from __future__ import annotations

import pytest
from bench.synthetic import table_run

from tollad.bench import machine
from tollad.bench.execute import SHARED
from tollad.bench.plan import plan
from tollad.bench.spec import Run
from tollad.bench.tables import read_table

GIB = 2.0**30
SHAPES = {"mnist": (1, 28, 28), "fashion_mnist": (1, 28, 28), "cifar10": (3, 32, 32), "cifar100": (3, 32, 32)}


def shape_of(run):
    return SHAPES[run.dataset]


def runs_of(name):
    return [item for item in read_table(name).work() if isinstance(item, Run)]


def sizes(name, memory=None):
    return [len(stack) for stack in plan(runs_of(name), shape_of, memory)]


def test_seeds_of_a_dense_network_are_one_stack():
    assert sizes("table4") == [10]


def test_convolutions_on_a_cpu_stand_alone():
    assert set(sizes("table2")) == {1}


def test_small_convolutions_share_a_gpu_and_large_ones_fill_it():
    assert max(sizes("table2", 78 * GIB)) >= 10
    assert set(sizes("table1", 78 * GIB)) == {1}


def test_less_memory_takes_fewer_members():
    assert max(sizes("table2", 1 * GIB)) < max(sizes("table2", 78 * GIB))
    assert set(sizes("table2", 0.0)) == {1}


@pytest.mark.parametrize("name", ["table2", "table4_splits", "table8"])
def test_every_run_is_in_one_stack_and_its_members_are_alike(name):
    stacks = plan(runs_of(name), shape_of, 78 * GIB)
    assert sorted(run.identity for stack in stacks for run in stack) == sorted(run.identity for run in runs_of(name))
    for stack in stacks:
        assert len({tuple(getattr(run, value) for value in SHARED) for run in stack}) == 1


def test_equal_runs_are_trained_once():
    assert plan([table_run(), table_run()], shape_of) == [[table_run()]]


def test_costs_grow_with_the_batch():
    small, large = (machine.cost("conv28", (1, 28, 28), 128, None, n) for n in (10, 20))
    assert large.training_flops == 2 * small.training_flops
    assert small.training_bytes < large.training_bytes < 2 * small.training_bytes
    # Appendix B.1 takes 2.7 GFLOP an image.
    assert small.training_flops / 10 == pytest.approx(2.7e9, rel=0.05)
