"""Parts of the adversarial methods: losses on logits, spectral normalisation, averaged weights, discriminators."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tollad.methods.layers import Drawn, Dropout, keras_norm
from tollad.training.adam import Adam

_SLOPE = 0.2


def true(logits: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits with the target 1."""
    return nn.functional.softplus(-logits).mean()


def false(logits: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits with the target 0."""
    return nn.functional.softplus(logits).mean()


def leaky() -> nn.Module:
    """Return a leaky ReLU of slope 0.2."""
    return nn.LeakyReLU(_SLOPE)


def adam(parameters: Iterable[nn.Parameter], learning_rate: float) -> Adam:
    """Return the optimiser of the adversarial methods: Adam with betas 0.5 and 0.999."""
    return Adam(parameters, learning_rate, betas=(0.5, 0.999))


class Spectral(Drawn):
    """A dense or convolutional layer whose weight is divided by its largest singular value.

    In training mode, each call takes one step of the power iteration that estimates it.

    Parameters
    ----------
    layer : nn.Linear or nn.Conv2d
    """

    u: Tensor

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.layer = layer
        self.register_buffer("u", torch.zeros(len(layer.weight)))

    def draw(self, generator: torch.Generator) -> None:
        """Draw the random unit vector from which the iteration begins."""
        self.u.normal_(generator=generator)
        self.u.div_(torch.linalg.vector_norm(self.u))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to x with its normalised weight."""
        matrix = self.layer.weight.flatten(1)
        with torch.no_grad():
            v = nn.functional.normalize(self.u @ matrix, dim=0)
            u = nn.functional.normalize(matrix @ v, dim=0)
            if self.training:
                self.u.copy_(u)
        weight = self.layer.weight / torch.dot(u, matrix @ v)
        if isinstance(self.layer, nn.Linear):
            return nn.functional.linear(x, weight, self.layer.bias)
        return nn.functional.conv2d(x, weight, self.layer.bias, self.layer.stride, self.layer.padding)


class Averaged(nn.Module):
    """A copy of a network whose weights are a running mean of the network's; its buffers are the network's own.

    Parameters
    ----------
    copy : nn.Module
        Of the same architecture.
    """

    def __init__(self, copy: nn.Module) -> None:
        super().__init__()
        self.copy = copy

    @torch.no_grad()
    def follow(self, network: nn.Module, decay: float) -> None:
        """Move the weights towards the network's: ``decay * mine + (1 - decay) * its``."""
        for weight, its in zip(self.copy.parameters(), network.parameters(), strict=True):
            weight.lerp_(its, 1 - decay)
        for buffer, its_own in zip(self.copy.buffers(), network.buffers(), strict=True):
            buffer.copy_(its_own)


class Joint(nn.Module):
    """A discriminator of pairs (x, z).

    Parameters
    ----------
    of_x, of_z : nn.Module
        (B, *shape) and (B, latent_dim) to (B, width) each.
    head : nn.Module
        From both widths, concatenated, to (B, 1).
    """

    def __init__(self, of_x: nn.Module, of_z: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.of_x, self.of_z, self.head = of_x, of_z, head

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the logits, (B,)."""
        return self.head(torch.cat([self.of_x(x), self.of_z(z)], 1)).squeeze(1)


class Paired(nn.Module):
    """A discriminator of pairs of one kind, (a, b).

    Parameters
    ----------
    features : nn.Module
        From a and b, concatenated along the first axis of a row, to (B, width).
    head : nn.Module
        To (B, 1).
    """

    def __init__(self, features: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.features, self.head = features, head

    def hidden(self, a: Tensor, b: Tensor, axis: int = 1) -> Tensor:
        """Return the last hidden layer, (B, width)."""
        return self.features(torch.cat([a, b], axis))

    def forward(self, a: Tensor, b: Tensor, axis: int = 1) -> Tensor:
        """Return the logits, (B,)."""
        return self.head(self.hidden(a, b, axis)).squeeze(1)


def joint_for_tables(d: int, latent_dim: int) -> Joint:
    """Return ALAD's discriminator of rows and latents: 128 with BatchNorm, 128, then 256."""
    of_x = nn.Sequential(nn.Linear(d, 128), keras_norm(128), leaky())
    of_z = nn.Sequential(nn.Linear(latent_dim, 128), leaky(), Dropout(0.5))
    return Joint(of_x, of_z, nn.Sequential(nn.Linear(256, 256), leaky(), Dropout(0.5), nn.Linear(256, 1)))


def generator_32(latent_dim: int) -> nn.Sequential:
    """Return the generator of 32 x 32 colour images of ALAD's authors: (B, latent_dim) -> (B, 3, 32, 32)."""
    layers: list[nn.Module] = [nn.Unflatten(1, (latent_dim, 1, 1)), nn.ConvTranspose2d(latent_dim, 512, 4)]
    for before, after in ((512, 256), (256, 128), (128, 3)):
        layers += [keras_norm(before, 2), nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1)]
    return nn.Sequential(*layers, nn.Tanh())
