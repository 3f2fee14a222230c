"""The protocol of all methods."""

from __future__ import annotations

import dataclasses

import made
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

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


FRAME = pd.DataFrame({"a": [0.0, 1.0, 2.0, 4.0], "b": [1.0, 0.0, 3.0, 1.0]})


def test_a_frame_with_other_columns_is_not_misread(tmp_path):
    method = methods.make("DistanceToMean").fit(FRAME)
    method.save(tmp_path / "m")
    for fitted in (method, methods.find("DistanceToMean").load(tmp_path / "m")):
        assert (fitted.anomaly_score(FRAME) == fitted.anomaly_score(FRAME.to_numpy())).all()
        for other in (FRAME[["b", "a"]], FRAME.rename(columns={"a": "z"})):
            with pytest.raises(ValueError, match="but those of the fit 'a', 'b'; give the same columns in the same"):
                fitted.anomaly_score(other)


@pytest.mark.parametrize("rows", [FRAME.to_dict("records"), scipy.sparse.csr_array(FRAME.to_numpy())])
def test_rows_come_in_many_forms(rows):
    by_frame, by_rows = (methods.make("DistanceToMean").fit(X).anomaly_score(X) for X in (FRAME, rows))
    assert (by_frame == by_rows).all()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("train.csv", "the rows are the path 'train.csv'; read the file first"),
        (None, "the rows are of type NoneType; give an array"),
        (np.array([["1", "2"]]), "to fit, give numbers only, not text, .* MethodDetector takes mixed columns"),
        (FRAME.assign(c="red"), "to fit, give numbers only, not text, .* MethodDetector takes mixed columns"),
    ],
)
def test_what_is_no_table_of_numbers_is_told_what_to_give(rows, said):
    with pytest.raises((TypeError, ValueError), match=said):
        methods.make("DistanceToMean").fit(rows)


def test_a_fit_that_fails_changes_nothing():
    method = methods.make("DeepSVDD", epochs=1, pretrain_epochs=1).fit(FRAME)
    before = method.anomaly_score(FRAME)
    method.scale = "none"  # for the rows that overflow
    for rows, error in ((np.ones((1, 3)), ValueError), (FRAME * 1e149, FloatingPointError)):
        with pytest.raises(error):
            method.fit(rows)
    assert (method.anomaly_score(FRAME) == before).all()


@pytest.mark.parametrize("name", ["DistanceToMean", "DAGMM", "GOAD", "TargetedCollapse"])
def test_no_score_is_higher_than_that_of_a_row_too_large_to_compute_with(name):
    rows = made.rows()
    method = made.method(name).fit(rows)
    assert (method.anomaly_score(rows * 1e300) >= method.anomaly_score(rows).max()).all()


@pytest.mark.parametrize("name", ["DCAE", "GOAD", "OCSVM", "TargetedCollapse"])
def test_rows_may_be_read_only(name):
    rows = made.rows()
    rows.flags.writeable = False
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        method = dataclasses.replace(made.method(name), scale="none").fit(rows)
        method.anomaly_score(rows)  # a warning is an error
    finally:
        torch.set_warn_always(before)


def test_rows_that_are_all_the_same_have_no_principal_components():
    with pytest.raises(ValueError, match="all rows to fit are the same, so they have no principal components"):
        methods.make("DistanceToMean", scale="pca").fit(np.full((9, 3), 0.1))
