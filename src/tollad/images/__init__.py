"""Images: what a network sees of them, maps of where they are anomalous, and the detector that composes them.

It uses a detector of rows as it is, and does not subclass it. `tollad.ImageDetector` is in `detector`, what is seen of
an image in `representations`, how far that lies from good images in `heads`, and how both are joined in `levels`.
"""

from tollad.io.images import open_images

__all__ = ["open_images"]
