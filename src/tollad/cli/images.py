"""Models of images at the command line: fit, maps, measures by kind of defect, and the card."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import click

from tollad.cli.options import DETECTOR_OPTIONS
from tollad.cli.shared import print_result

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tollad.cli.asked import FitOptions
    from tollad.detector.results import Scored
    from tollad.images.detector import ImageDetector
    from tollad.io.training import TrainingRows

# Options of `TollDetector` that `ImageDetector` has as well, or that change no result.
_OF_IMAGES = {"contamination", "false_alarm_rate", "random_state", "verbose", "device"}


def network_options(but: Collection[str] = ()) -> list[str]:
    """Return the given options that only the autoencoder has, but for some parameters."""
    context = click.get_current_context()
    given = click.core.ParameterSource.COMMANDLINE
    named = [option for option in DETECTOR_OPTIONS if option.name not in (*_OF_IMAGES, *but)]
    return [option.opts[0] for option in named if context.get_parameter_source(str(option.name)) is given]


def fit(training: TrainingRows, asked: FitOptions) -> None:
    """Fit a detector of images, save it, and print its card."""
    from tollad.images.detector import ImageDetector

    shared = ("contamination", "false_alarm_rate", "random_state")
    detector = ImageDetector(asked.representation or "auto", **{name: asked.parameters[name] for name in shared}).fit(
        cast("NDArray[Any]", training.rows)
    )
    detector.save(asked.model, source=training.source, overwrite=asked.force)
    card = read_card(asked.model)
    print_result(asked.as_json, card, format_card(card))


def with_maps(detector: ImageDetector, blocks: Iterator[Scored], folder: str, *, overwrite: bool) -> Iterator[Scored]:
    """Yield the blocks unchanged, and write the anomaly map of each image."""
    from tollad.io.maps import write_map

    for block in blocks:
        numbers = block.row_numbers()
        names = block.values or [f"{number + 1:06}" for number in numbers]
        for image, heat, name in zip(block.rows, detector.anomaly_map(block.rows), names, strict=True):
            write_map(folder, str(name), image, heat, overwrite=overwrite)
        yield block


def measured_by_kind(
    detector: ImageDetector, path: str, label: str, normal: Sequence[str], masks: str | None
) -> dict[str, Any]:
    """Return measures of each kind of anomaly as JSON values; with masks, also those of the anomaly maps."""
    import numpy as np

    from tollad import metrics
    from tollad.detector.results import expected_by, score_blocks
    from tollad.io.images import open_images
    from tollad.io.maps import read_mask
    from tollad.io.pictures import Shaping

    if masks is not None and not os.path.isdir(masks):
        raise NotADirectoryError(
            f"{masks}: is no folder; masks lie in one, by the kind of defect, as {masks}/KIND/NAME.png"
        )
    blocks = list(score_blocks(detector, path, header=None, key=None, column=label))
    kinds = np.array([str(value) for block in blocks for value in block.values])
    scores = np.concatenate([block.scores for block in blocks])
    is_normal = np.isin(kinds, normal)
    found: dict[str, Any] = {"by_kind": {}}
    for kind in sorted({*kinds[~is_normal].tolist()}):
        chosen = is_normal | (kinds == kind)
        found["by_kind"][kind] = {
            "n": int((kinds == kind).sum()),
            "auroc": metrics.auroc(~is_normal[chosen], scores[chosen]),
            "average_precision": metrics.average_precision(~is_normal[chosen], scores[chosen]),
        }
    if masks is None:
        return found
    expected = expected_by(detector)
    shaping = expected.images or Shaping()
    names = open_images(path, **vars(shaping)).columns["file"]
    shape = detector.input_shape_[1:]
    truth = np.zeros((len(names), *shape), np.bool_)
    for number in np.flatnonzero(~is_normal).tolist():
        truth[number] = read_mask(masks, f"{path}/{names[number]}", names[number], shape, shaping.aspect)
    maps = np.concatenate([detector.anomaly_map(block.rows) for block in blocks]).astype(np.float32)
    marked = is_normal | truth.any((1, 2))
    if not truth.any():
        raise ValueError(f"{masks}: no mask shows a defect; draw the defects in white on black")
    for kind, measures in found["by_kind"].items():
        chosen = marked & (is_normal | (kinds == kind))
        if truth[chosen].any():
            measures |= _of_maps(truth[chosen], maps[chosen])
    return {**found, **_of_maps(truth[marked], maps[marked])}


def _of_maps(truth: Any, maps: Any) -> dict[str, float]:
    from tollad import metrics

    return {
        "pixel_auroc": metrics.auroc(truth.ravel(), maps.ravel()),
        "pro": metrics.pro(truth, maps),
        "pro_5": metrics.pro(truth, maps, limit=0.05),
    }


def described(result: Mapping[str, Any]) -> str:
    """Return the measures of `measured_by_kind` as lines of text, each after a line break; "" if there are none."""
    lines = []
    if "pixel_auroc" in result:
        lines.append("pixels: AUROC {pixel_auroc:.3f}, PRO {pro:.3f} (at 5 %: {pro_5:.3f})".format(**result))
    for kind, measures in result.get("by_kind", {}).items():
        pixels = ", pixels {pixel_auroc:.3f}, PRO {pro:.3f}".format(**measures) if "pro" in measures else ""
        lines.append(f"{kind}: AUROC {measures['auroc']:.3f} ({measures['n']} images){pixels}")
    return "".join(f"\n{line}" for line in lines)


def read_card(path: str) -> dict[str, Any]:
    """Return the description of a model file of images as JSON values; errors as in `artifact.load`."""
    from tollad.io import artifact
    from tollad.io.source import notes_and_source

    metadata, tensors = artifact.load(path, "image model")
    scores, threshold = tensors["training_scores"], -metadata["offset"]
    notes, source = notes_and_source(metadata)
    return {
        "model": path,
        "data": "unknown" if source is None else source.name,
        "rows_read": len(scores) if source is None else source.n_read,
        "rows_used": len(scores) if source is None else source.n_used,
        "shape": metadata["input_shape"],
        "representation": metadata["parameters"]["representation"],
        "choice": metadata["choice"],
        "weights": metadata["weights"],
        "head": metadata["head"],
        "levels": [
            *(name for name, _, _ in metadata["wholes"]),
            *(["positions"] if metadata["places"] and metadata["parameters"]["levels"] != "image" else []),
        ],
        "threshold": threshold,
        "threshold_rule": dict(zip(("by", "value"), metadata["rule"], strict=True)),
        "n_calibration_rows": len(tensors.get("calibration_scores", ())),
        "share_above_threshold": float((scores > threshold).mean()),
        "versions": metadata["versions"],
        "notes": notes,
    }


def format_card(card: Mapping[str, Any]) -> str:
    """Return a card of `read_card` as text."""
    from tollad.cli.card import aligned, describe_threshold

    channels, height, width = card["shape"]
    weights = f", weights {card['weights'][:12]}..." if card["weights"] else ""
    return aligned(
        {
            "data": card["data"],
            "images": f"{card['rows_used']} of {card['rows_read']}, {'grey' if channels == 1 else 'colour'}, "
            f"{height}x{width} pixels",
            "seen by": f"{card['representation']}{weights}: {card['choice']}",
            "judged by": f"{card['head']}; {', '.join(card['levels'])}",
            "threshold": describe_threshold({**card, "series": None}),
            "model": card["model"],
        }
    )
