"""The protocol of all methods."""

from __future__ import annotations

import dataclasses

import pytest

from tollad import methods
from tollad.methods.method import Method, recipe_of


@pytest.mark.parametrize("name", methods.names())
def test_every_method_follows_the_protocol(name):
    method = methods.find(name)
    assert method.title
    assert method.__doc__
    assert dataclasses.is_dataclass(method)
    assert all(
        field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        for field in dataclasses.fields(method)
    )
    assert isinstance(method(), Method)
    assert recipe_of(method(**recipe_of(method()))) == recipe_of(method())


def test_the_reference_lines_are_there():
    assert {"DistanceToMean", "PrincipalComponents", "NearestNeighbours"} <= set(methods.names())


def test_an_unknown_method_is_told_the_known_ones():
    with pytest.raises(ValueError, match=r"no method 'svm'; did you mean OCSVM\? The known ones are .*DeepSVDD, .*KDE"):
        methods.find("svm")


def test_lists_of_several_lengths_are_refused_in_words():
    with pytest.raises(ValueError, match="to fit, give rows of one length, not lists of several lengths"):
        methods.make("DistanceToMean").fit([[1.0, 2.0], [3.0]])
