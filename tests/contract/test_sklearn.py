"""scikit-learn's own checks of an estimator: all of them, none skipped, none expected to fail."""

from __future__ import annotations

import unittest
import warnings
from collections.abc import Callable
from functools import partial

import pytest
from sklearn.utils import estimator_checks

from tollad import TollDetector

# Default parameters but for steps and widths: the checks fit several hundred times.
SMALL = {"steps": 2, "hidden": (8,)}
CHECKS = list(estimator_checks.estimator_checks_generator(TollDetector(**SMALL)))


def name(check: Callable[..., None]) -> str:
    return check.func.__name__ if isinstance(check, partial) else check.__name__


@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=lambda part: name(part) if callable(part) else "")
def test_check(estimator, check):
    with warnings.catch_warnings():
        # Several checks fit columns that are constant, and say nothing about warnings.
        warnings.filterwarnings("ignore", ".*columns are constant among the training rows", UserWarning)
        # Nor need two steps improve anything.
        warnings.filterwarnings("ignore", "training did not improve on the initial loss", UserWarning)
        # The checks of `set_output` pass frames and arrays in turn, and scikit-learn itself then warns of the names.
        warnings.filterwarnings("ignore", "X (does not have valid|has) feature names", UserWarning)
        try:
            check(estimator)
        except unittest.SkipTest as reason:
            pytest.fail(f"skipped: {reason}")


def test_these_are_all_checks():
    """A wrong tag would leave out what does not hold."""
    names = {name(check) for _, check in CHECKS}
    assert len(names) > 40
    assert {
        "check_dtype_object",
        "check_estimators_pickle",
        "check_fit_idempotent",
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
        "check_n_features_in",
        "check_outliers_fit_predict",
        "check_outliers_train",
        "check_readonly_memmap_input",
        "check_transformer_general",
    } <= names


# scikit-learn holds its own estimators to these as well, in its own test suite.
BEYOND = [
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_estimators_partial_fit_n_features,
    estimator_checks.check_get_feature_names_out_error,
    estimator_checks.check_inplace_ensure_writeable,
    estimator_checks.check_set_output_transform,
    estimator_checks.check_set_output_transform_pandas,
    estimator_checks.check_set_output_transform_polars,
    estimator_checks.check_transformer_get_feature_names_out,
    estimator_checks.check_transformer_get_feature_names_out_pandas,
]


@pytest.mark.parametrize("check", BEYOND, ids=name)
def test_check_of_scikit_learns_own(check):
    test_check(TollDetector(**SMALL), partial(check, "TollDetector"))


def test_the_tags_say_what_is_taken():
    tags = TollDetector().__sklearn_tags__()
    assert tags.estimator_type == "outlier_detector"
    assert tags.input_tags.allow_nan
    assert tags.transformer_tags is not None
    assert not tags.target_tags.required
    assert not tags.non_deterministic
