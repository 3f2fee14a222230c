from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import pytest
from bench.synthetic import table_text

from tollad.bench.spec import Baseline, Run
from tollad.bench.tables import AVERAGE, names, parse_table, read_table

with (Path(__file__).parent / "published.csv").open(encoding="utf-8", newline="") as file:
    PRINTED = list(csv.DictReader(file))
NAMES = {("3", "fashion_mnist"): "table3a", ("3", "cifar100"): "table3b"}
# Where a table of ours names a method otherwise.
METHODS = {
    "Toll beta=0": "Toll, beta = 0",
    "Toll beta=1000": "Toll, beta = 1000",
    "Toll 1-norm": "Toll, 1-norm",
    "Toll 2-norm": "Toll, 2-norm",
    "Toll ∞ -norm": "Toll, infinity norm",
}
SMALL = table_text(
    'zero = { normal = 0 }\none = { normal = 1, seeds = 5, vary = ["seed", "batch_seed"] }',
    """
[[methods]]
name = "Other"
[methods.published]
zero = [90.0]
[[methods]]
name = "Ours"
run = { beta = 2 }
[[methods]]
name = "PCA"
baseline = { method = "pca", n = 4, rows = "raw" }
""",
)


def printed(name):
    return [row for row in PRINTED if NAMES.get((row["table"], row["dataset"]), f"table{row['table']}") == name]


def cell_of(row):
    return row["normal"], METHODS.get(row["method"], row["method"])


@pytest.mark.parametrize("name", sorted({NAMES.get((r["table"], r["dataset"]), f"table{r['table']}") for r in PRINTED}))
def test_every_published_number_is_there_and_no_other(name):
    """Cell by cell, against the numbers as they were read from the paper."""
    expected = {cell_of(row): (float(row["mean"]), float(row["std"]) if row["std"] else None) for row in printed(name)}
    found = {
        (cell, method.name): (value.mean, value.std)
        for method in read_table(name).methods
        for cell, value in method.published.items()
    }
    assert found == expected


def test_all_published_numbers_are_compared():
    assert sum(len(printed(name)) for name in names()) == len(PRINTED) == 597


@pytest.mark.parametrize("name", names())
def test_columns_and_methods_are_in_the_paper_s_order(name):
    table = read_table(name)
    for method in table.methods:
        order = [*table.cells, AVERAGE]
        assert list(method.published) == sorted(method.published, key=order.index)


# Section 4.1, Appendix B, and what the authors' code has where the paper is silent.
RECIPES = {
    "table1": ("mnist", "conv28", 128, 1000.0, 1e-4, 1000),
    "table2": ("cifar10", "conv32", 64, 10.0, 1e-2, 50),
    "table3a": ("fashion_mnist", "conv28", 256, 100.0, 1e-4, 500),
    "table3b": ("cifar100", "conv32", 64, 100.0, 1e-3, 100),
    "table4": ("arrhythmia", "mlp", 16, 10.0, 1e-3, 100),
}


@pytest.mark.parametrize("name", RECIPES)
def test_runs_have_the_paper_s_hyperparameters(name):
    runs = [item for item in read_table(name).work() if isinstance(item, Run)]
    assert len(runs) == 10 * len(read_table(name).cells)
    recipes = {(r.dataset, r.network, r.latent_dim, r.beta, r.learning_rate, r.batch_size) for r in runs}
    assert recipes == {RECIPES[name]}
    assert {(r.steps, r.validate_every, r.norm, r.batch_seed, r.split_seed) for r in runs} == {(2000, 20, "l2", 0, 0)}
    assert {r.seed for r in runs} == set(range(10))


def test_a_run_of_several_tables_is_one_run():
    def runs(name, method):
        table = read_table(name)
        (found,) = (m for m in table.methods if m.name == method)
        return {table.repetition(found, cell, 3).identity for cell in table.cells}

    assert runs("table1", "Toll") == runs("table7", "Toll, beta = 1000") == runs("table8", "Toll, 2-norm")
    assert runs("figure4", "Toll") & runs("table7", "Toll, beta = 0")


def test_ablations_change_one_value():
    (without, with_it), norms = (
        [table.repetition(m, "8", 0) for m in table.methods if m.role == "own"]
        for table in map(read_table, ("table7", "table8"))
    )
    assert dataclasses.replace(without, beta=1000) == with_it
    assert [run.norm for run in norms] == ["l1", "l2", "linf"]
    assert {run.beta for run in norms} == {1000.0}
    assert sum("ssumption" in method.note for method in read_table("table8").methods) == 2


def test_figure_4_is_digit_8_with_three_seeds():
    runs = read_table("figure4").work()
    assert sorted({run.beta for run in runs}) == [0, 1, 10, 100, 300, 1000, 3000, 10000]
    assert {(run.normal, run.seed) for run in runs} == {(8, 0), (8, 1), (8, 2)}
    assert read_table("figure4").work(normal=["8"]) == runs
    with pytest.raises(ValueError, match="table4 has no cell 'None'"):
        read_table("table4").work(normal=["None"])


def test_random_splits_of_arrhythmia_have_own_seeds():
    work = read_table("table4_splits").work()
    for protocol, n in (("official_split", 10), ("random_split", 100), ("alad", 100), ("alad_half", 10), ("goad", 10)):
        runs = [item for item in work if isinstance(item, Run) and item.protocol == protocol and not item.batch_seed]
        assert len(runs) == 2 * n, protocol
        assert {run.beta for run in runs} == {0, 10}
        assert len({run.split_seed for run in runs}) == (n if n == 100 else 1)
    own = {(item.protocol, item.seed, item.batch_seed) for item in work if isinstance(item, Run) and item.batch_seed}
    assert own == {("official_split", seed, seed) for seed in range(1, 50)}
    baselines = [item for item in work if isinstance(item, Baseline)]
    assert len(baselines) == 4 * (100 + 100 + 1 + 1 + 1)


def test_a_table_without_runs_says_so():
    with pytest.raises(ValueError, match="table6 holds published numbers only"):
        read_table("table6").work()


class TestWork:
    table = parse_table("small", SMALL)

    def test_goes_seed_by_seed(self):
        runs = [item for item in self.table.work() if isinstance(item, Run)]
        assert [(run.seed, run.normal) for run in runs[:4]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
        assert [(run.seed, run.normal) for run in runs[6:]] == [(3, 1), (4, 1)]
        assert all(run.beta == 2 for run in runs)

    def test_a_baseline_is_not_repeated(self):
        assert [item.normal for item in self.table.work() if isinstance(item, Baseline)] == [0, 1]

    def test_cells_seeds_and_values_can_be_chosen(self):
        runs = self.table.work(normal=["1"], seeds=[2, 4], overrides={"steps": 40, "precision": "bf16"})[::2]
        assert [(run.normal, run.seed, run.batch_seed, run.steps, run.precision) for run in runs[:1]] == [
            (1, 2, 2, 40, "bf16")
        ]
        assert self.table.find_cells(["1", "one", "0"]) == ["one", "zero"]
        assert self.table.work(normal=["one"], seeds=[0]) == self.table.work(normal=["1"], seeds=[0])

    def test_methods_can_be_chosen(self):
        every = self.table.work()
        runs, baselines = ([item for item in every if isinstance(item, kind)] for kind in (Run, Baseline))
        names = [method.name for method in self.table.methods if method.is_measured]
        assert self.table.work(methods=names) == every
        assert [item for name in names for item in self.table.work(methods=[name])] == runs + baselines

    @pytest.mark.parametrize(
        ("chosen", "message"),
        [
            ({"methods": ["Theirs"]}, "small has no method 'Theirs' to run; it has Ours"),
            ({"normal": ["2"]}, "small has no cell '2'; its cells are zero, one"),
            ({"seeds": [5]}, "small has seeds 0 to 4, not 5"),
            ({"normal": ["zero"], "seeds": [3]}, "small has seeds 0 to 2, not 3"),
            ({"overrides": {"steps": 25}}, "steps of a run must be a multiple of 10"),
        ],
    )
    def test_what_is_not_there_is_named(self, chosen, message):
        with pytest.raises(ValueError, match=message):
            self.table.work(**chosen)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('title = "A table"', ""), "small: the key 'title' is missing"),
        (("seeds = 3", "sedes = 3"), "small: unknown key 'sedes'; the known ones are cells"),
        (('name = "Ours"', 'name = "Ours"\ncolour = 1'), "small, method 'Ours': unknown key 'colour'"),
        (('name = "Ours"', ""), r"small, method '\?': the key 'name' is missing"),
        (("zero = [90.0]", "zwei = [90.0]"), "small, method 'Other': there is no cell 'zwei'"),
        (("latent_dim = 8", "latent_dims = 8"), "small, method 'Ours', cell 'zero': a run has no 'latent_dims'"),
        (("beta = 2", "beta = -2"), "small, method 'Ours', cell 'zero': beta must be finite"),
        (("n = 4, ", ""), "small, method 'PCA', cell 'zero': n of a baseline must be given"),
        (("[run]", "[run"), r"small\.toml: "),
    ],
)
def test_a_malformed_table_is_one_sentence(change, message):
    with pytest.raises(ValueError, match=message):
        parse_table("small", SMALL.replace(*change))


def test_an_unknown_table_lists_the_known_ones():
    with pytest.raises(ValueError, match="there is no table 'table9'; there are table1, table1_collapse, table2"):
        read_table("table9")
