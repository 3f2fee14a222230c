"""The content of a model file for `tollad info`, read without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tollad.io import artifact
from tollad.io.source import Source, notes_and_source
from tollad.tables.schema import Column, describe
from tollad.warn import printable

_MOST_NAMES = 5
_SPARKS = "▁▂▃▄▅▆▇█"
_SPARKLINE_WIDTH = 40


def read_card(path: str) -> dict[str, Any]:
    """Return the description of a model file as JSON values.

    Raises
    ------
    ValueError, OSError
        If there is no readable model, see `tollad.io.artifact.load`.
    """
    metadata, tensors = artifact.load(path, "model")
    try:
        card = _read(path, metadata, tensors)
        format_card(card)  # tollad writes no such values
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise artifact.unknown(path, error) from error
    return card


def _read(path: str, metadata: dict[str, Any], tensors: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    # A series has a decision of its time steps. The first version stored it in place of the decision of windows.
    series = metadata.pop("series", None)
    decides, of = (metadata, "") if series is None else (series, "series.")
    notes, source = notes_and_source(metadata)
    threshold, scores = -decides.pop("offset"), tensors[f"{of}training_scores"]
    calibration = tensors.get(f"{of}calibration_scores", ())
    rule = decides.pop("threshold_rule", None)
    return {
        "model": path,
        **metadata,
        "notes": notes,
        "series": metadata["notes"].get("series") if series is None and "source" not in metadata else series,
        "source": None if source is None else source.to_json(),
        "threshold": threshold,
        "threshold_rule": None if rule is None else dict(zip(("by", "value"), rule, strict=True)),
        "n_training_rows": len(scores),
        "n_calibration_rows": len(calibration),
        "share_above_threshold": float((scores > threshold).mean()),
        "n_weights": sum(tensor.size for name, tensor in tensors.items() if name.startswith("stack.")),
        "whitened": "whitening.mean" in tensors,
    }


def format_card(card: Mapping[str, Any]) -> str:
    """Return a card as text."""
    source = None if card["source"] is None else Source.from_json(card["source"])
    history = card["history"]
    losses = [float(np.mean(members)) for members in history["loss"]]
    chosen = {**card["parameters"], **card["settings"]}
    del chosen["columns"]
    if card["whitened"]:
        chosen["preprocess"] += ", which whitened the rows"
    columns = [Column.from_json(column) for column in card["columns"] or ()]
    shown = describe_columns(card["input_shape"], card["feature_names"], columns)
    if card["series"]:
        shown = describe_series(card["series"])
        chosen |= card["series"].get("parameters", {})
    lines = {
        "model": printable(card["model"]),
        "data": printable("unknown" if source is None else source.name),
        "rows": str(card["n_training_rows"]) if source is None else describe_rows(source),
        "columns": shown,
        "left out": _shortened(() if source is None else source.drop) or "none",
        "threshold": describe_threshold(card),
        "calibration": f"{card['n_calibration_rows']:,} rows" if card["n_calibration_rows"] else "none",
        "training": f"{card['n_steps']} steps; loss {np.mean(history['initial_loss']):.4g} to {losses[-1]:.4g}",
        "": sparkline(losses),
        "weights": f"{card['n_weights']:,}",
        **{name: _plain(value) for name, value in chosen.items()},
        "written by": printable(", ".join(f"{package} {version}" for package, version in card["versions"].items())),
    }
    return aligned(lines)


def describe_rows(source: Source) -> str:
    """Say how many rows were used, and which."""
    chosen = f" ({source.label} is {' or '.join(source.normal)})" if source.label else ""
    chosen = printable(chosen)
    return f"{source.n_used} of {source.n_read}{chosen}"


def describe_columns(
    shape: Sequence[int],
    names: Sequence[str] | None,
    columns: Sequence[Column] = (),
) -> str:
    """List columns: their number and the first names, or the shape of rows without columns.

    Each column that is not a number gets a line of its own.
    """
    if len(shape) > 1:
        return f"none; each row is an array of shape {tuple(shape)}"
    counted = f"{shape[0]}" + (f": {_shortened(names)}" if names is not None else " without names")
    others = [printable(line) for line in describe([column for column in columns if column.kind != "number"])]
    return "\n".join([f"{counted}; all numbers but", *others] if others else [counted])


def describe_series(series: Mapping[str, Any]) -> str:
    """Say which channels, window and stride a model of series has."""
    time = f"; time: {printable(series['time']['column'])}" if series["time"] else ""
    context = series.get("context")
    long = f", and long ones of {context['window']}" if context else ""
    cut = f"windows of {series['window']} steps, a new one every {series['stride']}{long}{time}"
    if group := series.get("group"):
        cut += f"; {len(series['groups'])} groups: {printable(group)}"
        if own := series.get("own"):
            cut += f", {len(own)} with a model and a threshold each, beside that of all"
    asked = series.get("parameters", {})
    how = [name for name, said in (("causal", "causal"), ("adapt", "adaptive threshold")) if asked.get(name)]
    how = ["scored by the window that a step ends"] * ("causal" in how) + ["adaptive threshold"] * ("adapt" in how)
    return "\n".join([f"{len(series['columns'])}: {_shortened(series['columns'])}", cut, *how])


def describe_threshold(card: Mapping[str, Any]) -> str:
    """Say where the threshold of a card from `read_card` lies, and by which rule."""
    rule, n_rows = card["threshold_rule"] or {"by": "contamination"}, f"{card['n_calibration_rows']:,} calibration rows"
    of_training = f"{card['share_above_threshold']:.1%} of the training rows score higher"
    if rule["by"] == "false_alarm_rate":
        meaning = f"on average at most {100 * rule['value']:g}% of new normal rows score higher, by {n_rows}"
        if card["series"]:
            meaning = f"about {100 * rule['value']:g}% of new normal time steps score higher, if they are like {n_rows}"
    elif card["series"] and rule["by"] == "contamination" and "folds" in card["series"]:
        meaning = (
            f"about {100 * rule['value']:g}% of future time steps score higher if the series goes on as it was, by "
            f"{card['n_training_rows']:,} held-out steps; no promise"
        )
    elif rule["by"] == "tail":
        meaning = (
            f"an estimated {100 * rule['value']:g}% of new normal rows score higher: an extrapolation beyond {n_rows}, "
            "not a guarantee"
        )
    elif rule["by"] == "anomaly_score":
        meaning = f"chosen by its value; {of_training}"
    else:
        meaning = f"{of_training}, and more of new normal rows"
    return f"{card['threshold']:.4g}; {meaning}"


def sparkline(values: Sequence[float]) -> str:
    """Draw positive values on a logarithmic scale as one line of at most forty block characters.

    Examples
    --------
    >>> sparkline([8.0, 4.0, 2.0, 1.0])
    '█▆▃▁'
    """
    parts = np.array_split(np.asarray(values), min(len(values), _SPARKLINE_WIDTH))
    heights = np.log([max(part.mean(), np.finfo(float).tiny) for part in parts])
    spread = np.ptp(heights)
    places = (heights - heights.min()) / (spread if spread > 0 else 1.0) * (len(_SPARKS) - 1)
    return "".join(_SPARKS[place] for place in places.round().astype(int))


def aligned(lines: Mapping[str, str]) -> str:
    """Return a line for each name and its value, the values aligned; a value may have several lines."""
    width = max(map(len, lines)) + 2
    indented = {name: value.replace("\n", "\n" + " " * width) for name, value in lines.items()}
    return "\n".join(f"{name:<{width}}{value}".rstrip() for name, value in indented.items())


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(map(printable, names[:_MOST_NAMES])) + (", ..." if len(names) > _MOST_NAMES else "")


def _plain(value: Any) -> str:
    return printable(", ".join(map(str, value)) if isinstance(value, list) else str(value).lower())
