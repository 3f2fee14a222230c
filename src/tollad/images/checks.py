"""Checks of the parameters of an image detector and of the shape of its images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from tollad.calibration.checks import check_rate, check_share
from tollad.images.heads import HEADS
from tollad.images.representations import Representation, of


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise TypeError or ValueError for the first parameter of an `ImageDetector` whose value is not allowed."""
    p = parameters
    if not isinstance(p["representation"], str | nn.Module | Representation):
        raise TypeError(
            "representation must be a name, the path of an ONNX file, a torch module or a Representation, not "
            f"{p['representation']!r}"
        )
    if isinstance(p["representation"], str) and p["representation"] != "auto":
        of(p["representation"])
    if p["head"] not in ("auto", *HEADS):
        raise ValueError(f"head must be one of auto, {', '.join(HEADS)}, not {p['head']!r}")
    if p["levels"] not in ("auto", "both", "image", "positions"):
        raise ValueError(f"levels must be auto, both, image or positions, not {p['levels']!r}")
    if p["collapse"] is not None and not isinstance(p["collapse"], Mapping):
        raise TypeError(f"collapse must be a mapping of parameters of TollDetector or None, not {p['collapse']!r}")
    check_share(p["contamination"], "contamination")
    if p["false_alarm_rate"] is not None:
        check_rate(p["false_alarm_rate"], "false_alarm_rate")


def check_shape(shape: tuple[int, ...], chosen: Representation) -> None:
    """Raise ValueError for images of a shape that a representation does not take."""
    if min(shape[1:]) < chosen.least_side:
        raise ValueError(
            f"the images are {shape[1]}x{shape[2]} pixels, and {chosen.name} needs {chosen.least_side} or more each "
            "way; enlarge them, or use the representation pixels"
        )
