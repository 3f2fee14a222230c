"""What the parameters of a detector may be, and what "auto" stands for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from torch import nn

from tollad import TollDetector
from tollad.detector.parameters import check_parameters
from tollad.detector.settings import Settings, resolve
from tollad.method import networks

DEFAULTS = TollDetector().get_params()
# Parameters that `check_parameters` leaves to others: the device to torch, the seed and the last two to the detector.
ELSEWHERE = {"device", "random_state", "early_stopping", "verbose"}


def check(**changes):
    check_parameters({**DEFAULTS, **changes})


def settings(shape=(10,), n_rows=500, **changes) -> Settings:
    return resolve({**DEFAULTS, **changes}, shape, n_rows)


class TestCheck:
    def test_defaults_pass(self):
        check()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("beta", 0),
            ("beta", np.float32(2.5)),
            ("beta", 1e300),
            ("learning_rate", 1e-9),
            ("contamination", 0.5),
            ("latent_dim", np.int64(3)),
            ("batch_size", 2),
            ("hidden", []),
            ("hidden", (np.int64(3), 4)),
            ("network", (nn.Identity(), nn.Identity())),
            ("preprocess", None),
            ("corruption", None),
            *(("network", name) for name in (*networks.__all__, "auto")),
        ],
    )
    def test_taken(self, name, value):
        check(**{name: value})

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("beta", -0.1, "beta must be a finite number >= 0, not -0.1"),
            ("beta", float("nan"), "beta must be a finite number >= 0, not nan"),
            ("beta", float("inf"), "beta must be a finite number >= 0, not inf"),
            ("learning_rate", 0, "learning_rate must be a finite number > 0, not 0"),
            ("contamination", 0, "contamination must be a share of the rows, 0 < contamination <= 0.5, not 0"),
            ("contamination", 0.6, "not 0.6"),
            ("latent_dim", 0, "latent_dim must be an integer >= 1 or 'auto', not 0"),
            ("batch_size", 1, "batch_size must be an integer >= 2 or 'auto', not 1"),
            ("steps", 0, "steps must be an integer >= 1 or 'auto', not 0"),
            ("n_members", 10**12, "n_members must be at most 100000, not 1000000000000"),
            ("n_members", -1, "n_members must be an integer >= 1 or 'auto', not -1"),
            ("norm", "l3", "unknown norm 'l3'; the known ones are 'l1', 'l2', 'linf'"),
            ("target", "centre", "unknown target 'centre'; the known ones are 'origin', 'mean'"),
            ("preprocess", "minmax", "unknown preprocess 'minmax'; the known ones are 'auto', 'standard', None"),
            ("corruption", True, "unknown corruption True; the known ones are 'auto', 'mixed', None"),
            ("precision", "fp8", "unknown precision 'fp8'; the known ones are 'float32', 'float64', 'bf16'"),
            ("network", "resnet", "unknown network 'resnet'; the known ones are auto, conv, conv1d"),
            ("hidden", "wide", "hidden must be a sequence of widths or 'auto', not 'wide'"),
            ("hidden", [8, 0], "each width of hidden must be an integer >= 1"),
        ],
    )
    def test_refused_values(self, name, value, words):
        with pytest.raises(ValueError, match=words):
            check(**{name: value})

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("beta", "1", "beta must be a finite number >= 0, not '1'"),
            ("beta", True, "beta must be a finite number >= 0, not True"),
            ("beta", [1, 2], r"beta must be a finite number >= 0, not \[1, 2\]"),
            ("contamination", "auto", "not 'auto': give false_alarm_rate=0.05 where the share of anomalies is unknown"),
            ("contamination", "5%", "contamination must be a share of the rows"),
            ("learning_rate", None, "learning_rate must be a finite number > 0, not None"),
            ("steps", 1e3, "steps must be an integer >= 1 or 'auto', not 1000.0"),
            ("n_members", True, "n_members must be an integer >= 1 or 'auto', not True"),
            ("network", (nn.Identity(), "mlp"), r"network must be a name, .*, or a pair \(encoder, decoder\)"),
            ("network", None, "network must be a name, a builder"),
            ("hidden", 64, "hidden must be a sequence of widths or 'auto', not 64"),
            ("hidden", [8.5], "each width of hidden must be an integer >= 1"),
        ],
    )
    def test_refused_types(self, name, value, words):
        with pytest.raises(TypeError, match=words):
            check(**{name: value})

    def test_an_array_for_a_name_is_refused_by_name(self):
        """An array is compared value by value, and has no truth of its own."""
        with pytest.raises((TypeError, ValueError), match="norm"):
            check(norm=np.array(["l2", "l1"]))

    def test_widths_are_said_to_be_integers_and_nothing_else(self):
        with pytest.raises(ValueError, match="width") as error:
            check(hidden=[0])
        assert "auto" not in str(error.value)

    @pytest.mark.parametrize("name", sorted(set(DEFAULTS) - ELSEWHERE))
    def test_every_parameter_is_checked(self, name):
        with pytest.raises((TypeError, ValueError), match=name):
            check(**{name: object()})

    @pytest.mark.parametrize("name", ["early_stopping", "verbose"])
    def test_a_word_for_a_switch_is_refused(self, name):
        """The text "no" is true."""
        with pytest.raises((TypeError, ValueError), match=name):
            check(**{name: "no"})


class TestResolve:
    def test_tables_get_denoising_collapse(self):
        assert settings() == Settings(
            network="mlp_layernorm",
            norm="l2",
            target="origin",
            precision="float32",
            beta=1.0,
            latent_dim=128,
            hidden=(256, 128),
            learning_rate=2e-3,
            batch_size=128,
            steps=400,
            n_members=2,
            corruption="mixed",
            schedule="cosine",
            neighbors=2000,
        )

    @pytest.mark.parametrize(
        ("n_rows", "steps"), [(2, 400), (10_000, 400), (40_000, 800), (200_000, 1789), (10**7, 2000)]
    )
    def test_long_tables_get_more_steps(self, n_rows, steps):
        assert settings(n_rows=n_rows).steps == steps

    @pytest.mark.parametrize(("n_columns", "neighbors"), [(1, 2000), (1000, 2000), (10_000, 209), (10**7, 1)])
    def test_wide_tables_keep_fewer_rows(self, n_columns, neighbors):
        assert settings((n_columns,)).neighbors == neighbors

    @pytest.mark.parametrize(
        ("n_columns", "n_rows", "neighbors"),
        [(5, 1000, 2000), (5, 100_000, 5000), (2, 10**7, 10_000), (6, 10**7, 2000)],
    )
    def test_long_tables_of_few_columns_keep_more_rows(self, n_columns, n_rows, neighbors):
        assert settings((n_columns,), n_rows=n_rows).neighbors == neighbors

    @pytest.mark.parametrize("changes", [{"network": "mlp"}, {"corruption": None}])
    def test_tables_with_the_loss_of_the_paper(self, changes):
        assert settings(**changes) == Settings(
            network="mlp",
            norm="l2",
            target="origin",
            precision="float32",
            beta=1.0,
            latent_dim=5,
            hidden=(256, 128),
            learning_rate=1e-3,
            batch_size=128,
            steps=1000,
            n_members=1,
            corruption=None,
            schedule="constant",
        )

    def test_images(self):
        found = settings((3, 16, 16))
        assert (found.network, found.hidden, found.latent_dim) == ("conv", (32, 64, 128), 64)
        assert (found.corruption, found.n_members, found.steps) == (None, 1, 1000)

    def test_small_images_are_flattened(self):
        found = settings((1, 4, 8))
        assert (found.network, found.latent_dim) == ("mlp", 16)

    def test_series(self):
        assert settings((2, 30), network="conv1d").network == "conv1d"

    @pytest.mark.parametrize(("columns", "latent_dim"), [(1, 1), (2, 1), (3, 2), (31, 16), (32, 16), (500, 16)])
    def test_latent_of_the_paper_sums_up(self, columns, latent_dim):
        assert settings((columns,), network="mlp").latent_dim == latent_dim

    def test_networks_without_free_widths_have_none(self):
        assert settings((1, 28, 28), network="conv28").hidden is None
        assert settings((1, 28, 28), network=(nn.Identity(), nn.Identity())).hidden is None

    def test_no_widths_are_none_of_the_default(self):
        assert settings(hidden=()).hidden == ()

    @pytest.mark.parametrize(
        ("network", "name"), [("conv28", "conv28"), ((nn.Identity(), nn.Identity()), "custom")], ids=["conv28", "own"]
    )
    def test_widths_for_a_network_without_are_refused(self, network, name):
        with pytest.raises(ValueError, match=f"hidden is given, but network '{name}' has no free widths; leave"):
            settings((1, 28, 28), network=network, hidden=[3])

    def test_modules_of_the_user_decide_their_latent(self):
        found = settings(network=(nn.Identity(), nn.Identity()))
        assert (found.network, found.latent_dim) == ("custom", 0)

    def test_no_more_rows_in_a_batch_than_there_are(self):
        assert settings(n_rows=40).batch_size == 40
        assert settings(n_rows=40, batch_size=7).batch_size == 7

    def test_numbers_given_are_taken_as_plain_numbers(self):
        found = settings(beta=np.float64(3), latent_dim=np.int64(4), steps=np.int32(5), hidden=[np.int64(6)])
        assert (found.beta, found.latent_dim, found.steps, found.hidden) == (3.0, 4, 5, (6,))
        assert {type(found.beta), type(found.latent_dim), type(found.steps), type(found.hidden[0])} == {float, int}

    @pytest.mark.parametrize("network", networks.__all__)
    def test_every_network_by_name(self, network):
        found = settings((3, 4, 5), network=network)
        assert found.network == network
        assert found.latent_dim >= 1

    def test_settings_do_not_change(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            settings().beta = 2.0
