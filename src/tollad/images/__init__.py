"""Images: representations, distances from good images, anomaly maps, and `ImageDetector`, which composes them.

It uses a `TollDetector` and does not subclass it. `detector` has `tollad.ImageDetector`, `representations` the features
of an image, `heads` their distances from those of good images, `positions` those of positions in textures, and `levels`
those of other positions and the joint score.
"""

from tollad.io.images import open_images

__all__ = ["open_images"]
