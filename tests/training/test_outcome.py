"""The warning of latents that collapsed to a point."""

from __future__ import annotations

import pytest
import torch

from tollad.training.outcome import warn_if_collapsed


class TestCollapse:
    X = torch.arange(24.0).reshape(1, 6, 4)

    def test_warns_of_reconstructions_that_are_all_alike(self):
        with pytest.warns(UserWarning, match="the latent collapsed to a point.*lower beta or raise steps"):
            warn_if_collapsed(self.X, self.X.mean(1, keepdim=True).expand_as(self.X))

    def test_counts_members(self):
        x = self.X.expand(3, -1, -1)
        x_hat = x.clone()
        x_hat[1] = 5
        with pytest.warns(UserWarning, match="the latents of 1 of 3 members collapsed"):
            warn_if_collapsed(x, x_hat)

    def test_is_quiet_otherwise(self):
        warn_if_collapsed(self.X, 0.1 * self.X)

    def test_a_thousandth_of_the_variance_is_the_limit(self):
        warn_if_collapsed(self.X, 1.01e-3**0.5 * self.X)
        with pytest.warns(UserWarning, match="collapsed"):
            warn_if_collapsed(self.X, 0.99e-3**0.5 * self.X)

    def test_rows_that_are_all_alike_say_nothing(self):
        warn_if_collapsed(torch.ones(1, 6, 4), torch.ones(1, 6, 4))

    def test_one_row_says_nothing(self):
        warn_if_collapsed(self.X[:, :1], self.X[:, :1])
