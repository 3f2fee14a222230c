"""The paper's collapse term in the losses of other methods."""

from __future__ import annotations

import made
import pytest
import torch

ROWS = made.rows()


def latent_size(name, collapse):
    """The mean distance of the latents to what they collapse to."""
    method = made.method(name, collapse=collapse, epochs=20, learning_rate=1e-2, seed=1).fit(ROWS)
    x = torch.from_numpy(method._scaling(ROWS)).float()
    method._net.eval()
    with torch.no_grad():
        if name == "DeepSVDD":
            return method._distance(x).sqrt().mean().item()
        return torch.linalg.vector_norm(method._parts.encoder(x), dim=1).mean().item()


@pytest.mark.parametrize("name", ["DeepSVDD", "GANomaly", "MemAE"])
def test_the_term_draws_latents_together(name):
    assert latent_size(name, 30.0) < 0.8 * latent_size(name, 0.0)
