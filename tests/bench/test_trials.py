from __future__ import annotations

import dataclasses
import json
import time

import numpy as np
import pytest
import torch
from bench.synthetic import table_task, table_text

from tollad import methods, metrics
from tollad.bench import runner, trials
from tollad.bench.report import collect
from tollad.bench.results import Results
from tollad.bench.runner import carry_out
from tollad.bench.spec import Trial
from tollad.bench.tables import parse_table
from tollad.io import packed
from tollad.methods import DCAE, OCSVM

SETTINGS = {"epochs": 6, "batch_size": 20, "learning_rate": 1e-2}


def trial(**values):
    return Trial.from_values(
        {"protocol": "synthetic", "dataset": "table", "method": "DCAE", "settings": SETTINGS, "n_watches": 4} | values
    )


def test_a_trial_is_its_values_in_any_order_and_survives_a_file():
    item = trial()

    again = Trial.from_values(json.loads(json.dumps(dataclasses.asdict(item))))

    assert again == item
    assert again.identity == item.identity
    assert trial(settings=dict(reversed(SETTINGS.items()))).identity == item.identity
    assert len({item.identity, trial(seed=1).identity, trial(n_test=9).identity, trial(settings={}).identity}) == 4


def test_a_changed_default_makes_another_trial_and_a_new_field_does_not(monkeypatch):
    before = trial()
    row = json.loads(json.dumps(dataclasses.asdict(before)))
    assert dict(before.settings)["weight_decay"] == DCAE.weight_decay != 1.0

    class Changed(DCAE):
        def __init__(self, weight_decay=1.0, **fields):
            super().__init__(weight_decay=weight_decay, **fields)

    monkeypatch.setattr(methods, "find", lambda name: Changed)
    assert trial().identity != before.identity
    assert Trial.from_values(row).identity == before.identity
    row["settings"] = [pair for pair in row["settings"] if pair[0] != "drop_after"]
    assert Trial.from_values(row).identity == before.identity


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"method": "None"}, "no method 'None'.* known ones are .*DCAE"),
        ({"settings": {"depth": 3}}, "DCAE has no 'depth'; it has .*epochs"),
        ({"settings": {"scale": "odd"}}, "no scaling 'odd'"),
        ({"seed": -1}, "seed of a trial must be an integer from 0 up"),
        ({"depth": 3}, "a trial has no 'depth'"),
    ],
)
def test_a_trial_that_cannot_be_is_refused(values, words):
    with pytest.raises(ValueError, match=words):
        trial(**values)


def test_both_selections_are_measured():
    task = table_task()

    row = trials.measure(trial(), task)

    method = DCAE(**SETTINGS)
    curve, tests = {}, {}

    def watch(step):
        curve[step] = metrics.auroc(task.validation_labels, method.anomaly_score(task.validation))
        tests[step] = metrics.auroc(task.test_labels, method.anomaly_score(task.test))

    method.fit(task.train, watch=watch, n_watches=4)
    best = max(curve, key=lambda step: (curve[step], -step))
    assert row["last"] == {"step": 18, "validation": curve[18], "test": tests[18]}
    assert row["best_validation"] == {"step": best, "validation": curve[best], "test": tests[best]}
    assert row["curve"]["step"] == list(curve)


def test_without_validation_there_is_the_last_step_only():
    row = trials.measure(trial(), table_task(validates=False, cut=0.5))

    assert row["best_validation"] is None
    assert row["last"]["validation"] is None
    assert 0 <= row["last"]["test"] <= 1


def test_a_grid_is_searched_by_validation_and_the_last_is_label_free():
    task = table_task()
    grid = {"gamma": [1e-6, 0.1, 50.0], "nu": [0.01, 0.3]}

    row = trials.measure(trial(method="OCSVM", settings={"nu": 0.2}, grid=grid), task)

    found = {
        (gamma, nu): metrics.auroc(
            task.validation_labels, OCSVM(gamma=gamma, nu=nu).fit(task.train).anomaly_score(task.validation)
        )
        for gamma in grid["gamma"]
        for nu in grid["nu"]
    }
    assert row["best_validation"]["validation"] == max(found.values())
    assert found[tuple(row["best_validation"]["settings"].values())] == max(found.values())
    free = OCSVM(nu=0.2).fit(task.train).anomaly_score(task.test)
    assert row["last"]["test"] == metrics.auroc(task.test_labels, free)


def test_some_of_the_rows_can_stand_for_all(monkeypatch):
    seen = []
    original = DCAE.anomaly_score
    monkeypatch.setattr(DCAE, "anomaly_score", lambda self, X: seen.append(len(X)) or original(self, X))

    trials.measure(trial(n_validation=11, n_test=13), table_task())

    assert set(seen) == {11, 13}


def test_a_trial_that_ran_out_of_time_goes_on_to_the_same_row(tmp_path, monkeypatch):
    checkpoint, task = tmp_path / "state.tollad", table_task()
    monkeypatch.setattr("tollad.training.session.Checkpoint.due", True)
    whole = trials.measure(trial(), task)

    assert trials.measure(trial(), task, checkpoint=checkpoint, deadline=time.monotonic()) is None
    row = trials.measure(trial(), task, checkpoint=checkpoint)

    for name in ("last", "best_validation", "curve"):
        assert row[name] == whole[name]


@pytest.mark.parametrize("seed", range(20))
def test_an_altered_best_state_is_refused(tmp_path, seed):
    """Even one whose digest is right: it would go on to other results in silence."""
    checkpoint, task = tmp_path / "state.tollad", table_task()
    trials.measure(trial(), task, checkpoint=checkpoint, deadline=time.monotonic())
    kept = trials.best_path(checkpoint)
    metadata, tensors = packed.read_packed(kept)
    rng = np.random.default_rng(seed)
    if rng.random() < 0.5:
        name = rng.choice([name for name, tensor in tensors.items() if tensor.size])
        tensors[name] = tensors[name] + np.ones(1, tensors[name].dtype)
    else:
        metadata[rng.choice(["step", "value"])] += 1
    kept.write_bytes(packed.pack({key: metadata[key] for key in metadata if key not in ("sha256", "format")}, tensors))

    with pytest.raises(ValueError, match="of other data or other parameters, or was altered"):
        trials.measure(trial(), task, checkpoint=checkpoint)


def test_a_best_state_of_other_rows_is_refused(tmp_path):
    checkpoint = tmp_path / "state.tollad"
    trials.measure(trial(), table_task(), checkpoint=checkpoint, deadline=time.monotonic())
    checkpoint.unlink(missing_ok=True)

    with pytest.raises(ValueError, match="of other data or other parameters"):
        trials.measure(trial(), table_task(1), checkpoint=checkpoint)


def test_the_runner_keeps_trials_and_why_one_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "make_task", lambda protocol, dataset, normal, seed: table_task(seed))
    results, lines = Results(tmp_path / "results"), []
    work = [trial(), trial(), trial(settings={**SETTINGS, "learning_rate": 1e30})]

    outcome = carry_out(work, results, torch.device("cpu"), scratch=tmp_path / "scratch", say=lines.append)

    good, bad = results
    assert outcome.n_failed == 1
    assert good["identity"] == trial().identity
    assert "no longer a finite number at step" in bad["error"]
    assert not list((tmp_path / "scratch").glob("*.best"))


def test_a_table_runs_and_reports_a_method_by_budget():
    text = table_text(
        "zero = { normal = 0 }\none = { normal = 1 }",
        """
[[methods]]
name = "DSVDD"
trial = { recipe = "dsvdd", soft = true }
[methods.published]
zero = [90.0, 1.0]
""",
    )
    table = parse_table("small", text)
    published, reduced = (table.work(budget=budget) for budget in ("published", "reduced"))
    assert len(published) == len(reduced) == 6
    assert dict(published[0].settings)["soft"] is True
    assert dict(reduced[0].settings)["epochs"] < dict(published[0].settings)["epochs"]

    def row(item, value):
        last = {"step": 1, "validation": None, "test": value}
        values = {"identity": item.identity, "run": dataclasses.asdict(item), "last": last, "best_validation": None}
        return {"kind": "trial", "error": None, "seconds": {"wall": 6.0}, "device": "cpu", "threads": 1} | values

    report = collect(table, [row(published[0], 0.8), row(reduced[0], 0.7), row(reduced[2], 0.6)])

    lines = {(line.what, line.recipe): line.values["zero"].mean for line in report.lines}
    assert lines["last", "published budget"] == 80
    assert lines["last", "reduced budget"] == pytest.approx(65)
    assert lines["difference_last", "published budget"] == -10
    assert "zero" in next(line for line in report.lines if line.what == "difference_last").far
    assert np.isclose(lines["published", ""], 90)


def test_a_budget_leaves_out_what_has_one_recipe_only():
    methods = '[[methods]]\nname = "Ours"\nrun = {}\n[[methods]]\nname = "IF"\ntrial = { recipe = "isolation_forest" }'
    table = parse_table("small", table_text("zero = { normal = 0 }", methods))

    assert len(table.work()) == 6
    assert {item.method for item in table.work(budget="reduced")} == {"IsolationForest"}
    with pytest.raises(ValueError, match="no budget 'large'"):
        table.work(methods=["IF"], budget="large")
