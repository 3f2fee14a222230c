"""A model sent to workers as the bytes of its file, loaded once in each process."""

from __future__ import annotations

import functools
import os
from typing import Any

from tollad.io.places import temporary_file
from tollad.serve.answers import Detector, load


def detector_of(model: str | os.PathLike[str] | bytes, **moved: Any) -> Detector:
    """Return the detector of a model file, given as a path or as the file's bytes.

    Parameters
    ----------
    model : path or bytes
    **moved
        A new threshold, as in `set_threshold`; without it the threshold of the model stays.

    Raises
    ------
    ValueError, OSError
        As in `tollad.serve.answers.load` and `set_threshold`.
    """
    detector = _of_bytes(model, tuple(moved.items())) if isinstance(model, bytes) else load(model)
    if moved and not isinstance(model, bytes):
        detector.set_threshold(**moved)
    return detector


@functools.lru_cache(maxsize=1)
def _of_bytes(data: bytes, moved: tuple[tuple[str, Any], ...]) -> Detector:
    with temporary_file("model.tollad", data) as path:
        return detector_of(path, **dict(moved))
