"""
Images: which, and where
========================

``ImageDetector`` learns from good images, and maps where a new one is unlike them.

The images are made: tiles with a regular pattern and noise. Bad ones have a scratch.
"""

import numpy as np

from tollad import ImageDetector
from tollad.plots import image_maps

rng = np.random.default_rng(0)
x = np.arange(64)
pattern = 0.5 + 0.18 * np.sin(x / 3)[:, None] * np.sin(x / 3)[None]


def tiles(n):
    """Good tiles: the pattern, brighter or darker, with noise."""
    return np.clip(pattern * rng.uniform(0.85, 1.15, (n, 1, 1)) + 0.03 * rng.normal(size=(n, 64, 64)), 0, 1)


detector = ImageDetector("gradients", false_alarm_rate=0.05, random_state=0).fit(tiles(80))

# %%
# Two good tiles, and three with scratches of different lengths.

new = tiles(5)
for image, length in zip(new[2:], (6, 14, 30), strict=True):
    row, column = rng.integers(8, 30, 2)
    steps = np.arange(length)
    image[row + steps, column + steps] = 0.95
    image[row + steps, column + steps + 1] = 0.95
scores = detector.anomaly_score(new)
print("score ", scores.round(2))
print("anomaly", detector.predict(new) == -1)

# %%
# A map has about 1 where an image is as good ones are on average, and more where it is not.

names = ["good", "good", "scratch", "longer", "longest"]
image_maps(new[:, None], detector.anomaly_map(new), scores, names, "maps.png")
