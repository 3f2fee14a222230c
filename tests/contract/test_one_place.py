"""One place to touch: each test adds one thing in a module of its own, as a contributor would, and uses it."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import re
import sys
from textwrap import dedent

import numpy as np
import pytest
import torch
from bench.synthetic import RUN, table_task, table_text
from click.testing import CliRunner
from commands import done
from datasets.written import idx_bytes, write
from pyarrow import csv

from tollad import ImageDetector, TollDetector, methods, metrics
from tollad.bench import clock, runner, tables
from tollad.bench.protocols import make_task
from tollad.bench.rendering import to_markdown
from tollad.bench.report import collect
from tollad.bench.results import Results
from tollad.cli.paper import paper
from tollad.datasets import catalogue
from tollad.datasets.files import Content
from tollad.images import representations
from tollad.method import networks, terms

SHORT = ("--steps", 5, "--hidden", "8", "--quiet")
ROWS = np.random.default_rng(0).normal(size=(60, 4))


@pytest.fixture
def module_of(tmp_path, monkeypatch):
    """Write a module and import it."""
    monkeypatch.syspath_prepend(tmp_path / "modules")
    (tmp_path / "modules").mkdir()

    def make(text, name="added"):
        (tmp_path / "modules" / f"{name}.py").write_text(dedent(text))
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return make


@pytest.fixture
def run_table(tmp_path, monkeypatch):
    """Run a table of tiny runs on a task, by the command, and return the report of its results."""
    monkeypatch.setattr(tables, "_FOLDER", tmp_path / "tables")
    monkeypatch.setattr(clock, "_TIMED", 0.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "tables").mkdir()

    def run(text, task=table_task, *arguments):
        (tmp_path / "tables" / "added.toml").write_text(text)
        if task is not None:
            monkeypatch.setattr(runner, "make_task", lambda protocol, dataset, normal, seed: task(seed))
        results = str(tmp_path / "results")
        ran = CliRunner().invoke(paper, ["run", "added", "--seeds", "0", "--results", results, *arguments])
        assert ran.exit_code == 0, ran.output
        return to_markdown([collect(tables.read_table("added"), Results(results))])

    return run


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def add(monkeypatch, room, name, member):
    """Do what it takes to add a function to a module of ours: the function, and its name in ``__all__``."""
    monkeypatch.setattr(room, name, member, raising=False)
    monkeypatch.setattr(room, "__all__", [*room.__all__, name])


METHOD = '[[methods]]\nname = "Toll"\nrun = {}'


def measured(report, method, selection="last step"):
    """Return the value of one cell of one seed in a report."""
    (value,) = re.findall(rf"^\| \*\*{method}\*\* \| {selection}[^|]* \| 1 \| ([0-9.]+) \|$", report, re.MULTILINE)
    return float(value)


def scores_by_command(folder):
    """Score the rows that a model was fitted on, by the command."""
    done("score", folder / "m", folder / "rows.csv", "-o", folder / "scores.csv")
    return csv.read_csv(folder / "scores.csv")["score"].to_numpy()


class TestTerm:
    PENALTY = """
        from tollad.method.terms import homogeneous

        {law}
        def latent_added(z):
            '''A penalty.'''
            return {formula}
        """

    @pytest.mark.parametrize(
        ("law", "formula", "degree"),
        [
            ("@homogeneous(1)", "z.abs().mean(-1)", 1),
            ("", "(1 + z.square()).log().sum(-1)", None),
        ],
        ids=["norm", "no norm"],
    )
    def test_latent_penalty(self, law, formula, degree, module_of, monkeypatch, run_table, tmp_path):
        term = module_of(self.PENALTY.format(law=law, formula=formula)).latent_added
        add(monkeypatch, terms, "latent_added", term)
        assert terms.degree_of("latent_added") == degree
        detector = TollDetector(norm="added", steps=5, network="mlp", hidden=(8,), random_state=0).fit(ROWS)
        z, x = (torch.from_numpy(array) for array in (detector.transform(ROWS), detector.reconstruct(ROWS)))
        by_hand = np.linalg.norm((x.numpy() - ROWS) / ROWS.std(0), axis=1) + term(z).numpy()
        np.testing.assert_allclose(detector.anomaly_score(ROWS), by_hand, rtol=1e-9)
        np.savetxt(tmp_path / "rows.csv", ROWS, delimiter=",", header="a,b,c,d", comments="")
        done("fit", tmp_path / "rows.csv", "-o", tmp_path / "m", "--norm", "added", *SHORT)
        loaded = TollDetector.load(tmp_path / "m")
        assert loaded.settings_.norm == "added"
        np.testing.assert_array_equal(scores_by_command(tmp_path), loaded.training_scores_)
        assert measured(run_table(table_text("F1 = {}", METHOD, **RUN | {"norm": "added"})), "Toll") > 50

    @pytest.mark.parametrize("norm", terms.latent_penalties())
    @pytest.mark.parametrize("error", terms.reconstruction_errors())
    def test_every_term_is_reached_from_the_detector(self, norm, error):
        detector = TollDetector(
            norm=norm, error=error, beta=1e-3, steps=10, network="mlp", hidden=(8,), random_state=0
        ).fit(ROWS)
        assert detector.objective_.weights.keys() == {error, f"latent_{norm}"}
        explanation = detector.explain(ROWS[:9])
        np.testing.assert_allclose(explanation.parts.sum(1) + explanation.latent, explanation.scores, rtol=1e-9)


class TestNetwork:
    SKIPPING = """
        import torch
        from torch import nn
        from tollad.method.traits import Traits

        class Skipping(nn.Module):
            def __init__(self, d, latent_dim):
                super().__init__()
                self.narrow, self.past = nn.Linear(d, latent_dim), nn.Linear(d, 2)
                self.out = nn.Linear(latent_dim + 2, d)

            def forward(self, x):
                z = self.narrow(x)
                return self.out(torch.cat([z, self.past(x)], 1)), z

        @Traits(n_axes=1, latent_dim=lambda size: 3)
        def skipping(input_shape, latent_dim):
            '''An autoencoder whose decoder sees more than the latent.'''
            return Skipping(input_shape[0], latent_dim)
        """

    def test_builder_of_the_user(self, module_of, tmp_path):
        skipping = module_of(self.SKIPPING).skipping
        detector = TollDetector(network=skipping, steps=10, n_members=2, random_state=0).fit(ROWS)
        assert detector.transform(ROWS).shape == (60, 2 * 3)
        detector.save(tmp_path / "m")
        loaded = TollDetector.load(tmp_path / "m", network=skipping)
        np.testing.assert_array_equal(loaded.anomaly_score(ROWS), detector.anomaly_score(ROWS))

    def test_modules_of_the_user(self, module_of):
        with torch.random.fork_rng():
            module = module_of(self.SKIPPING).Skipping(4, 2)
        detector = TollDetector(network=module, steps=10, random_state=0).fit(ROWS)
        assert detector.settings_.latent_dim == 2

    def test_network_of_ours(self, module_of, monkeypatch, run_table, tmp_path):
        add(monkeypatch, networks, "skipping", module_of(self.SKIPPING).skipping)
        np.savetxt(tmp_path / "rows.csv", ROWS, delimiter=",", header="a,b,c,d", comments="")
        done("fit", tmp_path / "rows.csv", "-o", tmp_path / "m", "--network", "skipping", "--steps", 5, "--quiet")
        loaded = TollDetector.load(tmp_path / "m")
        assert loaded.settings_.latent_dim == 3
        np.testing.assert_array_equal(scores_by_command(tmp_path), loaded.training_scores_)
        values = {name: value for name, value in RUN.items() if name != "hidden"}
        assert measured(run_table(table_text("F1 = {}", METHOD, **values | {"network": "skipping"})), "Toll") > 50


def test_metric(module_of, monkeypatch, run_table, tmp_path):
    text = """
        import numpy as np

        def gap(labels, scores):
            '''Share of the anomalies above every normal row.'''
            labels, scores = np.asarray(labels), np.asarray(scores)
            return float((scores[labels == 1] > scores[labels == 0].max()).mean())
        """
    add(monkeypatch, metrics, "gap", module_of(text).gap)
    TollDetector(steps=5, random_state=0).fit(ROWS).save(tmp_path / "m")
    rows = np.column_stack([np.concatenate([ROWS, 9 + ROWS]), np.repeat([0, 1], 60)])
    np.savetxt(tmp_path / "rows.csv", rows, delimiter=",", header="x1,x2,x3,x4,y", comments="")
    evaluated = ("evaluate", tmp_path / "m", tmp_path / "rows.csv", "--label", "y", "--normal", "0")
    assert json.loads(done(*evaluated, "--json").stdout)["gap"] == 1.0
    assert "\ngap 1.000" in done(*evaluated).stdout
    report = run_table(table_text("F1 = {}", METHOD, **RUN).replace('metric = "auroc"', 'metric = "gap"'))
    assert 0 <= measured(report, "Toll") < 100


def test_representation_of_images(module_of, monkeypatch, tmp_path):
    text = """
        from tollad.images.representations import ImageFeatures, represents

        @represents(head="ledoit_wolf")
        def row_means(images):
            '''Mean brightness of each row of pixels.'''
            return ImageFeatures({"rows": images.mean((1, 3))}, {})
        """
    monkeypatch.setattr(representations, "_KNOWN", {**representations._KNOWN})
    add(monkeypatch, representations, "row_means", module_of(text).row_means)
    images = np.random.default_rng(0).integers(0, 256, (20, 24, 24))
    detector = ImageDetector("row_means", random_state=0).fit(images.astype(np.uint8))
    assert detector.head_ == "ledoit_wolf"
    path = tmp_path / "train-images-idx3-ubyte"
    write(path, idx_bytes(images))
    done("fit", path, "-o", tmp_path / "m", "--representation", "row_means", "--quiet")
    loaded = ImageDetector.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.training_scores_, detector.training_scores_)


def test_data_set(monkeypatch, run_table, tmp_path):
    """Idx files, as of KMNIST: one block of the catalogue."""
    rng = np.random.default_rng(0)
    files = {}
    for part, n in (("train", 60), ("t10k", 30)):
        files[f"{part}-images-idx3-ubyte"] = idx_bytes(rng.integers(0, 256, (n, 28, 28)))
        files[f"{part}-labels-idx1-ubyte"] = idx_bytes(np.arange(n) % 10)
    for name, content in files.items():
        write(tmp_path / "data" / "kmnist" / name, content)
    monkeypatch.setenv("TOLLAD_DATA", str(tmp_path / "data"))
    block = dataclasses.replace(
        catalogue.CATALOGUE["mnist"],
        title="Kuzushiji-MNIST",
        files={name: Content(len(content), sha256(content)) for name, content in files.items()},
        splits={
            "train": catalogue.Split(tuple(files)[:2], 60),
            "test": catalogue.Split(tuple(files)[2:], 30),
        },
        images=catalogue.Images(scale=(0.19, 0.35), n_validation=20, by_class=True),
    )
    monkeypatch.setitem(catalogue.CATALOGUE, "kmnist", block)
    task = make_task("one_class", "kmnist", normal=3)
    assert (len(task.train), len(task.validation), len(task.test)) == (4, 20, 30)
    values = {"dataset": "kmnist", "network": "conv", "hidden": [2], "batch_size": 4, "steps": 4, "validate_every": 2}
    assert 0 <= measured(run_table(table_text("3 = { normal = 3 }", METHOD, **values), None), "Toll") <= 100


def test_method_with_its_own_training(module_of, monkeypatch, run_table, tmp_path):
    text = """
        from dataclasses import dataclass
        from typing import ClassVar

        import numpy as np

        from tollad.methods.base import Comparator

        @dataclass(kw_only=True, eq=False)
        class RunningMean(Comparator):
            '''Distance to a mean that is learnt step by step.'''

            steps: int = 20
            title: ClassVar[str] = "Running mean"

            def _fit(self, rows, watched):
                self._mean = np.full(rows.shape[1], 9.0)
                random = np.random.default_rng(self.seed)
                for step in range(1, self.steps + 1):
                    self._mean += 0.3 * (rows[random.integers(len(rows))] - self._mean)
                    if watched.call is not None and step % (self.steps // watched.times) == 0:
                        watched.call(step)

            def _score(self, rows):
                return np.linalg.norm(rows - self._mean, axis=1)

            def _fitted(self):
                return {"mean": self._mean.copy()}

            def _restore(self, fitted):
                self._mean = fitted["mean"]
        """
    module_of(text, "running_mean")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path / "modules")])
    assert methods.RunningMean().fit(ROWS).anomaly_score(ROWS).shape == (60,)
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "running_mean.toml").write_text(
        'method = "RunningMean"\nsource = "none"\nprotocol = "any"\n[sets.table]\npublished = { n_watches = 5 }\n'
    )
    monkeypatch.setattr("tollad.bench.recipes._FOLDER", recipes)
    line = '[[methods]]\nname = "Running"\ntrial = { recipe = "running_mean" }'
    report = run_table(table_text("F1 = {}", line, **RUN))
    assert measured(report, "Running", "best validation") > 50
    assert measured(report, "Running") > 50
