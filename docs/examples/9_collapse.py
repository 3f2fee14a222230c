"""
What collapses: the theory in pictures
======================================

The loss rewards small latents, and a linear autoencoder has a way to make them small for ever: the encoder
shrinks while the decoder grows. Section 3.3 of the paper trains such an autoencoder with one latent on
Gaussian data.
"""

from tollad import theory
from tollad.plots.theory import draw_collapse, draw_figure2

draw_collapse(theory.collapse(), "collapse.png")

# %%
# The latent norm then measures what the reconstruction misses. With a good beta, the score orders samples
# nearly as the density of the data does. Numbers are rank correlations with the Mahalanobis distance.

result = theory.figure2(n_starts=2, n_queries=800)
draw_figure2(result, "figure2.png")
print("best beta at times 5, 50 and 1000:", result.betas[result.best[0]].round(2))
