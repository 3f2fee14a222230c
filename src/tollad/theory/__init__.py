"""Linear autoencoders under gradient flow: section 3.3 of the paper, the questions that it leaves open, and Figure 2.

Everything is float64 NumPy, with samples as the columns of ``X``, as in the paper. ``S = X X' / n`` is the covariance
of zero-mean data, and losses have squared norms with 1 / (2n) here, unlike the method's own (equation 2).
`docs/theory.md` has the proofs, and says which of them hold for the method.
"""

from tollad.theory.figures import Collapse, Figure2, collapse, figure2, weighted_score
from tollad.theory.flows import (
    autoencoder_flow,
    autoencoder_loss,
    autoencoder_velocity,
    encoder_flow,
    latent_flow,
    power_law,
)

__all__ = [
    "Collapse",
    "Figure2",
    "autoencoder_flow",
    "autoencoder_loss",
    "autoencoder_velocity",
    "collapse",
    "encoder_flow",
    "figure2",
    "latent_flow",
    "power_law",
    "weighted_score",
]
