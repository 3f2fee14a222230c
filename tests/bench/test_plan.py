from __future__ import annotations

import pytest
from bench.synthetic import table_run

from tollad.bench import machine
from tollad.bench.plan import plan
from tollad.bench.spec import runs_of
from tollad.bench.tables import read_table


def sizes(name, n_members=None):
    return [len(stack) for stack in plan(runs_of(read_table(name).work()), n_members)]


def test_seeds_of_a_dense_network_are_one_stack():
    assert sizes("table4") == [10]
    assert max(sizes("table4_splits")) == 20


def test_convolutions_stand_alone():
    assert set(sizes("table1")) == set(sizes("table2")) == {1}


@pytest.mark.parametrize(("n_members", "expected"), [(1, {1}), (8, {8, 4}), (100, {100})])
def test_how_many_are_trained_together_can_be_chosen(n_members, expected):
    assert set(sizes("table2", n_members)) == expected


@pytest.mark.parametrize("n_members", [None, 3])
@pytest.mark.parametrize("name", ["table2", "table4_splits", "table8"])
def test_every_run_is_in_one_stack_and_its_members_are_alike(name, n_members):
    runs = runs_of(read_table(name).work())
    stacks = plan(runs, n_members)
    assert sorted(map(id, (run for stack in stacks for run in stack))) == sorted(map(id, runs))
    for stack in stacks:
        assert len({run.alike for run in stack}) == 1


def test_equal_runs_are_trained_once():
    assert plan([table_run(), table_run()]) == [[table_run()]]


def test_operations_grow_with_the_batch():
    small, large = (machine.training_flops("conv28", (1, 28, 28), 128, None, n) for n in (10, 20))
    assert large == 2 * small
    # Appendix B.1 takes 2.7 GFLOP an image.
    assert small / 10 == pytest.approx(2.7e9, rel=0.05)
