"""What `tollad fit --method` does: a method of the paper's tables on rows or images, by the recipe of a data set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from tollad.cli.images import network_options
from tollad.cli.shared import print_result, resumable

if TYPE_CHECKING:
    from tollad.cli.asked import FitOptions
    from tollad.io.training import TrainingRows

_KEPT = {"columns"}


def check_options(window: object, representation: str | None) -> None:
    """Raise a usage error for options that a method has no use for."""
    if window is not None:
        raise click.UsageError("--method is for tables and images, not for series; leave out --window.")
    if representation is not None:
        raise click.UsageError("--method sees the pixels of images; leave out --representation.")
    if asked := network_options(but=_KEPT):
        raise click.UsageError(f"{asked[0]} is of the detector, not of --method; its fields are set by --set.")


def settings(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Return fields of a recipe from texts such as ``epochs=50``, ``hidden=64,32`` or ``soft=true``."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--set {pair}: give a field of the method and its value, such as epochs=50.")
        if name in found:
            raise click.UsageError(f"--set gives {name} twice; give it once.")
        found[name] = tuple(map(_value, text.split(","))) if "," in text else _value(text)
    return found


def _value(text: str) -> Any:
    if text == "none":
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def fit(training: TrainingRows, name: str, asked: FitOptions) -> None:
    """Fit a method, save it with its threshold, and say what it is."""
    from tollad import methods
    from tollad.bench.recipes import recipe_for
    from tollad.methods.detector import MethodDetector
    from tollad.methods.fields import holds_several

    kind, changed, parameters = methods.find(name), settings(asked.changed), asked.parameters
    dataset, recipe = recipe_for(name, training.rows.shape[1:], asked.budget)
    fields = {"seed": parameters["random_state"], **recipe, **changed}
    for field, value in fields.items():
        if holds_several(kind, field) and value is not None and not isinstance(value, tuple):
            fields[field] = tuple(value) if isinstance(value, list) else (value,)
    detector = MethodDetector(
        methods.make(name, **fields),
        columns=training.columns,
        contamination=parameters["contamination"],
        false_alarm_rate=parameters["false_alarm_rate"],
    )
    with resumable(asked.checkpoint):
        detector.fit(training.rows, checkpoint=asked.checkpoint)
    by = (f"of {dataset}, {asked.budget} budget" if dataset else "its defaults") + (
        "" if not changed else f", but for {', '.join(changed)}"
    )
    detector.save(asked.model, source=training.source, overwrite=asked.force, notes={"recipe": by})
    card = read_card(asked.model)
    print_result(asked.as_json, card, format_card(card))


def read_card(path: str) -> dict[str, Any]:
    """Return what a model file of a method says about itself, as JSON values; errors as in `artifact.load`."""
    from tollad.io import artifact
    from tollad.io.source import notes_and_source

    metadata, tensors = artifact.load(path, "method model")
    with artifact.understood(path):
        notes, source = notes_and_source(metadata)
        scores, threshold = tensors["training_scores"], -metadata["offset"]
        columns = metadata["columns"] or ()
        return {
            "model": path,
            "method": metadata["method"],
            "parameters": metadata["parameters"],
            "recipe": notes.get("recipe", "set by hand"),
            "source": None if source is None else source.to_json(),
            "shape": metadata["input_shape"],
            "feature_names": metadata["feature_names"],
            "columns": metadata["columns"],
            "kinds": {column["name"]: column["kind"] for column in columns},
            "threshold": threshold,
            "threshold_rule": dict(zip(("by", "value"), metadata["threshold_rule"], strict=True)),
            "n_training_rows": len(scores),
            "n_calibration_rows": len(tensors.get("calibration_scores", ())),
            "share_above_threshold": float((scores > threshold).mean()),
            "versions": metadata["versions"],
            "notes": notes,
        }


def format_card(card: Mapping[str, Any]) -> str:
    """Return a card of `read_card` as lines for people to read."""
    from tollad.cli.card import aligned, describe_columns, describe_rows, describe_threshold
    from tollad.io.source import Source
    from tollad.tables.schema import Column
    from tollad.warn import printable

    source = None if card["source"] is None else Source.from_json(card["source"])
    columns = [Column.from_json(column) for column in card["columns"] or ()]
    recipe = {name: value for name, value in card["parameters"].items() if value is not None}
    shown = ", ".join(f"{name} {json.dumps(value)}" for name, value in recipe.items())
    return aligned(
        {
            "method": printable(f"{card['method']}, recipe {card['recipe']}"),
            "fields": printable(shown),
            "data": printable("unknown" if source is None else source.name),
            "rows": str(card["n_training_rows"]) if source is None else describe_rows(source),
            "columns": describe_columns(card["shape"], card["feature_names"], columns),
            "threshold": describe_threshold({**card, "series": None}),
            "calibration": f"{card['n_calibration_rows']:,} rows" if card["n_calibration_rows"] else "none",
            "model": printable(card["model"]),
        }
    )
