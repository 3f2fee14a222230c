"""A row of a dense network comes out the same, to the bit, whatever it comes with and wherever it stands."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tollad.training import rowwise
from tollad.training.build import build_stack
from tollad.training.rowwise import RowWise


def outputs(network: RowWise, x: torch.Tensor) -> torch.Tensor:
    """Reconstructions and latents of rows, (n, d), block by block: (M, n, d + latent_dim)."""
    found = []
    for first, n, size in network.blocks(x[None]):
        block = torch.cat([x[first : first + n], x.new_zeros(size - n, x.shape[1])])
        with torch.no_grad():
            x_hat, z = network(block.expand(len(network), *block.shape))
        found.append(torch.cat([x_hat, z], 2)[:, :n])
    return torch.cat(found, 1)


@pytest.mark.parametrize("name", ["mlp", "mlp_layernorm"])
@pytest.mark.parametrize("d", [1, 2, 5, 17, 33, 41])
@pytest.mark.parametrize(("n_members", "hidden"), [(1, (8,)), (3, (20, 7)), (2, ())])
def test_company_does_not_matter(name, d, n_members, hidden):
    network = RowWise(build_stack(name, (d,), 3, hidden, list(range(n_members)), 8))
    x = torch.from_numpy(np.random.default_rng(d).normal(size=(331, d)))
    alone = outputs(network, x[:1])
    for n in (2, 3, 4, 7, 64, 65, 129, 331):
        assert torch.equal(outputs(network, x[:1].repeat(n, 1)), alone.repeat(1, n, 1))
        assert torch.equal(outputs(network, x[:n].flip(0))[:, -1:], alone)


@pytest.mark.parametrize("n_rows", [1, 2, 4, 5, 63, 64, 100, 256, 1000])
def test_blocks_cover_the_rows_once(n_rows):
    network = RowWise(build_stack("mlp", (3,), 2, (4,), [0], 8))
    blocks = list(network.blocks(torch.zeros(1, n_rows, 3)))
    assert [row for first, n, _ in blocks for row in range(first, first + n)] == list(range(n_rows))
    assert all(n <= size for _, n, size in blocks)


def test_rows_get_blocks_of_their_own_where_sizes_differ(monkeypatch):
    def by_size(parts, precision, n_members, x):
        return x + x.shape[1], x

    monkeypatch.setattr(rowwise, "_outputs", by_size)
    network = RowWise(build_stack("mlp", (3,), 2, (4,), [0], 8))
    assert list(network.blocks(torch.zeros(1, 3, 3))) == [(0, 1, 4), (1, 1, 4), (2, 1, 4)]
