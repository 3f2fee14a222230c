"""One declared table: what the detector, its docstring and the command line say of a parameter is the same."""

from __future__ import annotations

import inspect

import click
import pytest

from tollad import TollDetector
from tollad.cli.fit import fit
from tollad.detector.parameters import PARAMETERS

SIGNATURE = inspect.signature(TollDetector.__init__).parameters


def test_the_detector_takes_what_is_declared():
    assert {name: value.default for name, value in SIGNATURE.items() if name != "self"} == {
        parameter.name: parameter.default for parameter in PARAMETERS
    }


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
def test_each_is_documented_checked_and_an_option(parameter):
    assert parameter.documented() in inspect.getdoc(TollDetector)
    parameter.check(parameter.name, parameter.default)
    (option,) = [option for option in fit.params if option.name == parameter.name]
    assert isinstance(option, click.Option)
    assert option.help.startswith(parameter.help)


def test_options_have_the_defaults_of_the_detector():
    """But for the seed, so that a command gives one model, and for the progress that it shows."""
    context = fit.make_context("fit", ["train.csv", "-o", "model"])
    given = {parameter.name: context.params[parameter.name] for parameter in PARAMETERS}
    expected = {parameter.name: parameter.default for parameter in PARAMETERS}
    assert given == expected | {"random_state": 0, "verbose": True}
