"""Images: what a network sees of them, maps of where they are anomalous, and the detector that composes them.

It uses a detector of rows as it is, and does not subclass it.
"""

from tollad.io.images import open_images

__all__ = ["open_images"]
