"""Seeds, global random states, threads and copies: the same bits, and nothing shared."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from detectors import (
    FEW,
    KINDS,
    assert_same_bits,
    make,
    own_network,
    pickled,
    table,
    train,
)
from sklearn.base import clone
from torch import nn

from tollad import TollDetector

pytestmark = pytest.mark.usefixtures("global_random_states_stay")


class TestRandomness:
    def test_none_is_another_fit_each_time(self):
        one, other = (train(random_state=None) for _ in range(2))
        assert not np.array_equal(one.training_scores_, other.training_scores_)

    def test_seeds_differ(self, fitted):
        assert not np.array_equal(train(random_state=1).training_scores_, fitted["table"].training_scores_)

    def test_the_seed_decides_the_rows_held_out(self):
        """The preprocessing has the means of the rows that were not held out."""
        means = [train(false_alarm_rate=0.2, random_state=seed).features_.mean.tolist() for seed in (0, 0, 1)]
        assert means[0] == means[1] != means[2]

    def test_generator_of_numpy(self):
        one, other = (train(random_state=np.random.RandomState(3)) for _ in range(2))
        assert_same_bits(one, other, table())
        state = np.random.RandomState(3)
        first, second = train(random_state=state), train(random_state=state)
        assert not np.array_equal(first.training_scores_, second.training_scores_)

    @pytest.mark.parametrize("kind", ["table", "own modules"])
    @pytest.mark.parametrize("seed", [0, np.int64(7), 2**63, 2**70])
    def test_any_integer(self, kind, seed):
        train(kind, random_state=seed)

    @pytest.mark.parametrize("kind", ["table", "own modules", "images"])
    def test_global_states_do_not_matter(self, fitted, kind):
        with torch.random.fork_rng():
            torch.manual_seed(12345)
            assert_same_bits(train(kind), fitted[kind], KINDS[kind][0])

    @pytest.mark.parametrize("kind", FEW)
    def test_global_states_are_not_moved(self, kind, tmp_path):
        """The guard of this module compares them."""
        detector = train(kind, early_stopping=True).partial_fit(KINDS[kind][0])
        detector.predict(KINDS[kind][0])
        detector.save(tmp_path / "m.tollad")
        network = own_network() if kind == "own modules" else None
        TollDetector.load(tmp_path / "m.tollad", network=network)

    def test_two_detectors_in_turn(self):
        one, other = make("mlp"), make("mlp", random_state=1)
        for rows in (table(), table(seed=1), table(seed=2)):
            one.partial_fit(rows)
            other.partial_fit(rows)
        alone = make("mlp")
        for rows in (table(), table(seed=1), table(seed=2)):
            alone.partial_fit(rows)
        assert_same_bits(one, alone, table())

    @pytest.mark.parametrize("kind", ["table", "images", "series"])
    def test_threads(self, fitted, kind):
        with ThreadPoolExecutor(4) as pool:
            detectors = list(pool.map(lambda _: train(kind), range(4)))
        for detector in detectors:
            assert_same_bits(detector, fitted[kind], KINDS[kind][0])

    def test_modules_with_randomness_in_threads(self, fitted):
        """Dropout draws from torch's one global state, which two fits at a time must not share."""
        with ThreadPoolExecutor(4) as pool:
            detectors = list(pool.map(lambda _: train("own modules"), range(4)))
        for detector in detectors:
            assert_same_bits(detector, fitted["own modules"], table())

    def test_scores_in_threads(self, fitted):
        with ThreadPoolExecutor(4) as pool:
            for scores in pool.map(fitted["table"].anomaly_score, [table()] * 8):
                np.testing.assert_array_equal(scores, fitted["table"].training_scores_)


class TestCopies:
    @pytest.mark.parametrize("copier", [copy.deepcopy, pickled])
    @pytest.mark.parametrize("kind", [*FEW, "mean"])
    def test_same_bits_and_independent(self, fitted, kind, copier):
        rows = KINDS[kind][0]
        copied = copier(fitted[kind])
        assert_same_bits(copied, fitted[kind], rows)
        before = fitted[kind].anomaly_score(rows)
        copied.partial_fit(rows)
        assert not np.array_equal(copied.anomaly_score(rows), before)
        np.testing.assert_array_equal(fitted[kind].anomaly_score(rows), before)

    def test_copies_learn_on_alike(self, fitted):
        one, other = copy.deepcopy(fitted["mlp"]), pickled(fitted["mlp"])
        assert_same_bits(one.partial_fit(table(seed=1)), other.partial_fit(table(seed=1)), table())

    def test_pickles_are_small(self, fitted):
        for detector in fitted.values():
            size = sum(tensor.nbytes for tensor in detector.stack_.state().values())
            assert len(pickle.dumps(detector)) < 4 * size + 40_000 * len(detector.stack_) + 10_000

    @pytest.mark.parametrize("kind", FEW)
    def test_clone_is_unfitted_and_fits_alike(self, fitted, kind):
        cloned = clone(fitted[kind])
        assert not hasattr(cloned, "stack_")
        assert_same_bits(cloned.fit(KINDS[kind][0]), fitted[kind], KINDS[kind][0])

    def test_modules_that_keep_a_tensor_while_scoring_can_be_trained_on(self):
        """Tensors of torch's inference mode cannot."""

        class Scaled(nn.Linear):
            def forward(self, x):
                if not self.training:
                    self.scale = torch.ones(2)
                return super().forward(x) * getattr(self, "scale", 1.0)

        with torch.random.fork_rng():
            modules = Scaled(5, 2), nn.Linear(2, 5)
        detector = TollDetector(network=modules, steps=5, random_state=0).fit(table())
        detector.anomaly_score(table())
        encoder = detector.stack_[0].encoder.train()
        encoder(torch.ones(1, 5)).sum().backward()
        assert encoder.weight.grad is not None

    def test_modules_of_the_user_are_not_trained(self):
        network = own_network()
        before = {name: tensor.clone() for name, tensor in network[0].state_dict().items()}
        train("own modules", network=network)
        assert all(torch.equal(tensor, before[name]) for name, tensor in network[0].state_dict().items())
        assert network[0].training
