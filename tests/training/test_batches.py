"""Streams and batches: rows as a function of (seed, step) and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tollad.training.batches import Batches, Draws

pytestmark = pytest.mark.usefixtures("global_random_states_stay")

seeds = st.integers(0, 2**128 - 1)
steps = st.integers(0, 2**63)
ROWS = torch.arange(20.0).reshape(10, 2)


def sizes():
    return st.integers(1, 50).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n)))


class TestStream:
    @given(seed=seeds, step=steps, size=sizes())
    def test_draws_distinct_rows(self, seed, step, size):
        n_rows, batch_size = size
        drawn = Draws(seed).draw(n_rows, batch_size, step)
        assert len(set(drawn.tolist())) == len(drawn) == batch_size
        assert set(drawn.tolist()) <= set(range(n_rows))

    @given(seed=seeds, step=steps, before=st.lists(st.tuples(steps, st.booleans()), max_size=3))
    def test_is_a_function_of_seed_and_step(self, seed, step, before):
        """Whatever was drawn before, in whatever order."""
        used = Draws(seed)
        for other, corruption in before:
            used.at(other, corruption=corruption).random(7)
            used.draw(100, 9, other)
        assert used.draw(100, 10, step).tolist() == Draws(seed).draw(100, 10, step).tolist()

    @given(seed=seeds, steps=st.sets(st.integers(0, 2**40), min_size=2, max_size=2))
    def test_steps_differ(self, seed, steps):
        one, other = (Draws(seed).at(step).integers(2**62, size=4).tolist() for step in steps)
        assert one != other

    @given(pair=st.sets(seeds, min_size=2, max_size=2), step=steps)
    def test_seeds_differ(self, pair, step):
        one, other = (Draws(seed).at(step).integers(2**62, size=4).tolist() for seed in pair)
        assert one != other

    def test_corruption_has_numbers_of_its_own(self):
        stream = Draws(0)
        rows = stream.at(3).random(100_000)
        corruption = stream.at(3, corruption=True).random(100_000)
        assert not set(rows[:1000]) & set(corruption)
        assert abs(np.corrcoef(rows, corruption)[0, 1]) < 0.02

    def test_a_step_does_not_run_into_the_next(self):
        stream = Draws(0)
        this = stream.at(5).integers(2**62, size=100_000)
        assert not set(this.tolist()) & set(stream.at(6).integers(2**62, size=1000).tolist())

    def test_every_row_is_as_likely_as_another(self):
        stream = Draws(1)
        counts = np.zeros(10)
        for step in range(4000):
            counts[stream.draw(10, 3, step)] += 1
        assert np.abs(counts / 4000 - 0.3).max() < 0.03  # four standard deviations

    def test_a_batch_of_all_rows_takes_them_in_order(self):
        assert Draws(0).draw(6, 6, 2).tolist() == [0, 1, 2, 3, 4, 5]


class TestBatches:
    def test_shapes_and_rows(self):
        inputs, x = Batches(ROWS, 4, [0, 1, 2])(0)
        assert inputs is x
        assert x.shape == (3, 4, 2)
        assert all(row in ROWS.tolist() for member in x.tolist() for row in member)

    def test_members_draw_what_they_draw_alone(self):
        together = Batches(ROWS, 4, [5, 6])
        for step in (3, 0, 9):
            for member, seed in enumerate([5, 6]):
                assert torch.equal(together(step)[1][member], Batches(ROWS, 4, [seed])(step)[1][0])

    def test_random_access(self):
        batches = Batches(ROWS, 4, [5], corrupt=True)
        forward = [batches(step) for step in range(5)]
        for step in (4, 1, 3):
            for before, again in zip(forward[step], Batches(ROWS, 4, [5], corrupt=True)(step), strict=True):
                assert torch.equal(before, again)

    def test_subsets(self):
        subsets = [np.array([0, 2, 4, 6]), np.array([1, 3, 5, 7])]
        batches = Batches(ROWS, 3, [0, 0], subsets)
        for step in range(10):
            even, odd = batches(step)[1][:, :, 0] // 2
            assert set(even.tolist()) < {0, 2, 4, 6}
            assert set(odd.tolist()) < {1, 3, 5, 7}

    def test_no_more_rows_than_there_are(self):
        batches = Batches(ROWS, 64, [0])
        assert batches.batch_size == 10
        assert torch.equal(batches(0)[1][0], ROWS)
        assert Batches(ROWS, 64, [0, 1], [np.arange(3), np.arange(3, 6)]).batch_size == 3

    def test_members_of_unequal_rows_need_a_batch_that_all_can_fill(self):
        subsets = [np.arange(3), np.arange(8)]
        assert Batches(ROWS, 3, [0, 1], subsets)(0)[1].shape == (2, 3, 2)
        with pytest.raises(ValueError, match="batch_size is 4, but a member has only 3 rows; lower batch_size"):
            Batches(ROWS, 4, [0, 1], subsets)

    def test_rows_are_not_changed(self):
        rows = ROWS.clone()
        inputs, x = Batches(rows, 4, [0], corrupt=True)(0)
        inputs.zero_()
        x.zero_()
        assert torch.equal(rows, ROWS)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_corruption_leaves_the_rows_as_they_were(self, dtype):
        clean, corrupted = (Batches(ROWS.to(dtype), 8, [0, 1], corrupt=corrupt) for corrupt in (False, True))
        for step in range(3):
            inputs, x = corrupted(step)
            assert torch.equal(x, clean(step)[1])
            assert inputs.shape == x.shape
            assert inputs.dtype == dtype
            assert not torch.equal(inputs, x)


class TestCorruption:
    """What `Batches` adds to the rows, measured on one large batch."""

    ROWS = torch.from_numpy(np.random.default_rng(0).normal(size=(4000, 6)))

    def moves(self, rows=ROWS, seed=0, step=0):
        inputs, x = Batches(rows, len(rows), [seed], corrupt=True)(step)
        return (inputs - x)[0]

    def test_some_rows_stay(self):
        still = (self.moves() == 0).all(1).double().mean().item()
        assert still == pytest.approx(0.30 + 0.175 / 7, abs=0.02)  # some have a random part of no value at all

    def test_a_part_of_the_rows_moves_in_some_values_only(self):
        moved = (self.moves() != 0).double().mean(1)
        partly = ((moved > 0) & (moved < 1)).double().mean().item()
        assert partly == pytest.approx(0.175 * 5 / 7, abs=0.02)  # none to all of 6 values are equally likely

    def test_sizes_are_log_uniform(self):
        """Noise on every value of very long rows shows its own size."""
        moves = self.moves(torch.zeros(400, 2000, dtype=torch.float64))  # nothing moves along differences here
        dense = moves[(moves != 0).all(1)]
        sizes = dense.std(1)
        assert len(dense) == 70
        assert sizes.min() > 0.045
        assert sizes.max() < 1.06
        assert sizes.log().mean().item() == pytest.approx(np.log(0.05) / 2, abs=0.35)

    def test_some_rows_move_along_differences_of_rows(self):
        """Rows on a line: whatever moves along differences stays on it, noise leaves it."""
        line = torch.from_numpy(np.random.default_rng(1).normal(size=(1000, 1))) * torch.ones(1, 5)
        moves = self.moves(line)
        along = ((moves - moves.mean(1, keepdim=True)).abs().amax(1) < 1e-9) & (moves != 0).any(1)
        assert along.double().mean().item() == pytest.approx(0.35, abs=0.01)

    def test_differences_are_those_of_the_members_own_rows(self):
        """Members with rows on lines of their own: no one is moved along another's."""
        rows = torch.zeros(20, 2, dtype=torch.float64)
        rows[:10, 0] = rows[10:, 1] = torch.arange(10.0, dtype=torch.float64)
        subsets = [np.arange(10), np.arange(10, 20)]
        alone = [Batches(rows[part], 10, [seed], corrupt=True) for seed, part in enumerate(subsets)]
        together = Batches(rows, 10, [0, 1], subsets, corrupt=True)
        for step in range(5):
            for member in range(2):
                assert torch.equal(together(step)[0][member], alone[member](step)[0][0])

    def test_steps_and_seeds_differ(self):
        assert not torch.equal(self.moves(step=0), self.moves(step=1))
        assert not torch.equal(self.moves(seed=0), self.moves(seed=1))

    @given(n=st.integers(1, 12), shape=st.sampled_from([(3,), (1, 4), (2, 2, 2)]), seed=st.integers(0, 100))
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_any_shape(self, n, shape, seed, dtype):
        rows = torch.from_numpy(np.random.default_rng(seed).normal(size=(n, *shape))).to(dtype)
        moves = self.moves(rows, seed)
        assert moves.shape == rows.shape
        assert moves.dtype == dtype
        assert torch.isfinite(moves).all()
