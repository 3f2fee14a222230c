"""Fields of recipes: what is not of its type or range is refused when a method is made."""

from __future__ import annotations

import numpy as np
import pytest

from tollad import methods
from tollad.methods import fields


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("DeepSVDD", {"epochs": "many"}, "epochs must be an integer from 0 up, not 'many'"),
        ("DeepSVDD", {"batch_size": 0}, "batch_size must be an integer from 1 up, not 0"),
        ("DeepSVDD", {"batch_size": True}, "batch_size must be an integer from 1 up, not True"),
        ("DeepSVDD", {"learning_rate": float("nan")}, "learning_rate must be finite and not negative, not nan"),
        ("DeepSVDD", {"soft": "yes"}, "soft must be True or False, not 'yes'"),
        ("DeepSVDD", {"seed": -1}, "seed must be an integer from 0 up, not -1"),
        ("IsolationForest", {"seed": 2**32}, r"seed must be below 2\*\*32, not 4294967296"),
        ("DAGMM", {"hidden": (8, 0)}, r"hidden must be a tuple of integers from 1 up, not \(8, 0\)"),
        ("KDE", {"bandwidth": "wide"}, "bandwidth must be one of likelihood, mean or finite and not negative"),
        ("MemAE", {"threshold": -0.1}, "threshold must be finite and not negative or None, not -0.1"),
        ("DeepSVDD", {"nu": 2.0}, "nu must be above 0 and at most 1, not 2.0"),
        ("OCSVM", {"nu": 0}, "nu must be above 0 and at most 1, not 0"),
        ("KDE", {"bandwidth": 0.0}, "bandwidth must be above 0, not 0.0"),
        ("ALAD", {"decay": 1.0}, "decay must be from 0 to below 1, not 1.0"),
        ("AnoGAN", {"feature_weight": 1.5}, "feature_weight must be from 0 to 1, not 1.5"),
        ("VAE", {"score_by": "luck"}, "score_by must be one of elbo, reconstruction, kl, not 'luck'"),
    ],
)
def test_a_field_that_is_not_what_it_may_be_is_refused(name, changed, message):
    with pytest.raises(ValueError, match=message):
        methods.make(name, **changed)


def test_numbers_of_either_kind_lists_and_none_are_taken_where_they_may_stand():
    assert methods.make("KDE", bandwidth=2).bandwidth == 2
    assert methods.make("DAGMM", hidden=[8, 4]).hidden == [8, 4]
    assert methods.make("MemAE", threshold=None).threshold is None
    assert methods.make("DAGMM", epochs=0).epochs == 0


def test_numbers_of_numpy_become_those_of_python():
    changed = {"hidden": (np.int64(4), np.int32(3)), "epochs": np.int64(2), "learning_rate": np.float32(0.5)}
    method = methods.make("DAGMM", **changed)
    assert (method.hidden, method.epochs, method.learning_rate) == ((4, 3), 2, 0.5)
    assert type(method.epochs) is int


def test_a_field_that_was_set_later_is_checked_by_the_fit():
    method = methods.make("DeepSVDD")
    method.epochs = "many"
    with pytest.raises(ValueError, match="epochs must be an integer from 0 up, not 'many'"):
        method.fit(np.zeros((4, 2)))


def test_which_fields_hold_several():
    assert fields.holds_several(methods.find("DAGMM"), "hidden")
    assert fields.holds_several(methods.find("TargetedCollapse"), "hidden")
    assert not fields.holds_several(methods.find("DAGMM"), "latent_dim")
    assert not fields.holds_several(methods.find("DAGMM"), "unknown")


@pytest.mark.parametrize(("name", "near"), [("deepsvd", "DeepSVDD"), ("kde", "KDE"), ("GeoTran", "GeoTrans")])
def test_an_unknown_method_is_told_what_was_meant(name, near):
    with pytest.raises(ValueError, match=f"there is no method '{name}'; did you mean {near}.*The known ones are "):
        methods.find(name)
