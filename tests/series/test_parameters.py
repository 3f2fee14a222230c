"""One declared table of the parameters of a series: constructor, docstring and options say the same."""

from __future__ import annotations

import inspect

import click
import pytest

from tollad import SeriesDetector
from tollad.cli.fit import fit
from tollad.series.parameters import OF_SERIES, SERIES_PARAMETERS


def test_the_detector_takes_what_is_declared() -> None:
    signature = inspect.signature(SeriesDetector.__init__).parameters
    assert {name: value.default for name, value in signature.items() if name != "self"} == {
        parameter.name: parameter.default for parameter in SERIES_PARAMETERS
    }


@pytest.mark.parametrize("parameter", SERIES_PARAMETERS, ids=lambda parameter: parameter.name)
def test_each_is_documented_and_its_default_is_allowed(parameter) -> None:
    assert parameter.documented() in inspect.getdoc(SeriesDetector)
    parameter.check(parameter.name, parameter.default)


@pytest.mark.parametrize("parameter", OF_SERIES, ids=lambda parameter: parameter.name)
def test_each_of_the_series_is_an_option(parameter) -> None:
    (option,) = [option for option in fit.params if option.name == parameter.name]
    assert isinstance(option, click.Option)
    assert option.help is not None
    assert option.help.startswith(parameter.help)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gaps", "fill"),
        ("causal", "yes"),
        ("window", 0),
        ("stride", -1),
        ("false_alarm_rate", [1]),
        ("latent_dim", 10**9),
    ],
)
def test_what_is_not_allowed_is_refused(name: str, value: object) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        SeriesDetector(**{name: value}).fit([[0.0]] * 100)
