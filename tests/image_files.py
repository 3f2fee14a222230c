"""Folders of images and IDX files for tests."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tollad.io.images import ImageSource, open_images

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], -1)


def save(folder: Path, **images: Any) -> Path:
    """Write arrays or images as PNG files; a name is a path with `__` for each slash."""
    for name, image in images.items():
        path = folder / f"{name.replace('__', '/')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path)
    return folder


def pixels(source: ImageSource) -> np.ndarray[Any, Any]:
    """Read all images."""
    return source.take(range(len(source)))


def refused(folder: Path, **how: Any) -> str:
    """Return the sentence that a folder is refused with, be it at once or when it is read."""
    with pytest.raises(ValueError, match=r"^[^\n]+; [^\n]+$") as error:
        pixels(open_images(folder, **how))
    return str(error.value)


def write_idx(path: Path, values: np.ndarray[Any, Any]) -> Path:
    """Write an IDX file, gzipped if its name says so."""
    content = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def cut(path: Path) -> Path:
    """Cut off the last bytes of a file."""
    path.write_bytes(path.read_bytes()[:-3])
    return path
