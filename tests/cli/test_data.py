"""The commands of ``tollad data``."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner
from datasets.written import write

from tollad.cli.data import data
from tollad.datasets import fetch as downloads
from tollad.datasets.catalogue import CATALOGUE
from tollad.datasets.files import Content

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def run(*arguments):
    """Run a command that succeeds, and return what it printed."""
    result = CliRunner().invoke(data, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def fail(*arguments):
    """Run a command that fails, and return what it printed and its error, which the main group shows."""
    result = CliRunner().invoke(data, arguments)
    assert result.exit_code == 1
    return result.stdout, result.exception


@pytest.fixture
def empty_files(home, monkeypatch):
    """MNIST as two empty files, both there."""
    files = dict.fromkeys(("one", "two"), Content(0, EMPTY))
    monkeypatch.setitem(CATALOGUE, "mnist", replace(CATALOGUE["mnist"], files=files))
    for file in files:
        write(home / "mnist" / file, b"")
    return home


class TestList:
    def test_text(self, empty_files):
        write(empty_files / "cifar10" / "data_batch_1.bin", b"")
        lines = run("list").splitlines()
        assert [line.split()[:2] for line in lines[:-1]] == [
            ["mnist", "there"],
            ["fashion_mnist", "absent"],
            ["cifar10", "incomplete"],
            ["cifar100", "absent"],
            ["arrhythmia", "absent"],
        ]
        assert lines[0].endswith("train 60000, test 10000")
        assert lines[-1] == f"in {empty_files}"

    def test_json(self, empty_files):
        printed = json.loads(run("list", "--json"))
        assert printed["folder"] == str(empty_files)
        assert printed["sets"]["mnist"] == {
            "title": "MNIST",
            "state": "there",
            "rows": {"train": 60000, "test": 10000},
        }


class TestVerify:
    def test_intact(self, empty_files):
        assert run("verify") == run("verify", "mnist") == "mnist/one: ok\nmnist/two: ok\n"
        assert json.loads(run("verify", "--json")) == {"mnist": {"one": "ok", "two": "ok"}}

    def test_damaged(self, empty_files):
        write(empty_files / "mnist" / "two", b"!")
        for printed, error in (fail("verify"), fail("verify", "mnist")):
            assert printed == "mnist/one: ok\nmnist/two: two holds more than its 0 bytes\n"
            assert str(error) == "not intact: mnist; get it again by `tollad data fetch mnist`"

    def test_a_named_set_must_be_there(self, empty_files):
        printed, error = fail("verify", "mnist", "arrhythmia")
        assert "arrhythmia/arrhythmia.data: missing" in printed
        assert "not intact: arrhythmia" in str(error)

    def test_nothing_there(self, home):
        _, error = fail("verify")
        assert isinstance(error, FileNotFoundError)
        assert "get one by `tollad data fetch NAME`, NAME being mnist, fashion_mnist" in str(error)

    def test_unknown(self, home):
        assert "no data set 'svhn'; the known ones are" in str(fail("verify", "svhn")[1])


def test_fetch(empty_files, monkeypatch):
    assert run("fetch", "mnist") == f"mnist is in {empty_files / 'mnist'}\n"
    asked = []
    monkeypatch.setattr(downloads, "fetch", lambda name: asked.append(name) or empty_files / name)
    run("fetch", "cifar10")
    assert asked == ["cifar10"]


class TestSplit:
    def test_missing(self, home):
        assert "tollad data fetch cifar100" in str(fail("split", "cifar100")[1])

    def test_unknown(self, home):
        assert "no data set 'svhn'" in str(fail("split", "svhn")[1])

    @pytest.mark.data
    def test_real(self, real):
        real("arrhythmia")
        printed = json.loads(run("split", "arrhythmia"))
        assert [printed[part]["size"] for part in ("train", "validation", "test")] == [232, 90, 90]
        assert [printed[part]["anomalies"] for part in ("train", "validation", "test")] == [0, 13, 13]
        assert len(json.loads(run("split", real("cifar10")))["classes"][0]["extremes"]) == 2


def test_help_is_light():
    """Nothing but click, whatever the command."""
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from tollad.cli.data import data\n"
        "for name in data.commands:\n"
        "    assert CliRunner().invoke(data, [name, '--help']).exit_code == 0\n"
        "print(sorted({'numpy', 'torch', 'pooch', 'safetensors'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
