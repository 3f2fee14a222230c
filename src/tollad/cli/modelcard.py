"""A model card in Markdown, with the sections of skops and Hugging Face, read from a model file without torch."""

from __future__ import annotations

import hashlib
import html
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tollad.cli.card import describe_series, describe_threshold
from tollad.io.source import Source
from tollad.tables.schema import Column, describe
from tollad.warn import printable

_MOST_COLUMNS = 1000
_PAPER = "https://arxiv.org/abs/2306.12627"
_METHODS = {
    "tabular": "An autoencoder that learnt rows of a table under the loss `||x_hat - x|| + beta * ||z||` (targeted "
    f"collapse, [Toll]({_PAPER})). The same expression is the anomaly score of a new row: high = anomalous.",
    "time-series": "An autoencoder that learnt windows of a series under the loss `||x_hat - x|| + beta * ||z||` "
    f"(targeted collapse, [Toll]({_PAPER})). The same expression gives each time step its anomaly score: high = "
    "anomalous.",
    "images": "A fixed representation of images, as a whole and by position, and distances from good images. A new "
    "image gets an anomaly score, high = anomalous, and a map that shows where.",
}
_CLASSES = {"tabular": "TollDetector", "time-series": "SeriesDetector", "images": "ImageDetector"}


def model_card(path: str, card: Mapping[str, Any]) -> str:
    """Return the model card of a model file in Markdown; text from the file is escaped.

    Parameters
    ----------
    path : str
        The model file.
    card : mapping
        From `tollad.cli.card.read_card`, or that of `tollad.cli.images`.
    """
    kind = "images" if "representation" in card else "time-series" if card["series"] else "tabular"
    content = Path(path).read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    digest = f", sha256={sha256!r}" if kind == "tabular" else ""
    facts: Callable[[Mapping[str, Any]], list[str]] = _of_images if kind == "images" else _of_rows
    name = printable(Path(path).name)
    lines = [
        "---\nlibrary_name: tollad\ntags:",
        *(f"- {tag}" for tag in ("anomaly-detection", "one-class", kind)),
        "---",
        f"\n# {_escaped(name)}\n",
        "## Model description\n",
        _METHODS[kind],
        *facts(card),
        "\n## Decision\n",
        f"A score above the threshold is an anomaly. {_threshold(card)}",
        *_limits(card, kind),
        "\n## How to use the model\n",
        f"```python\nfrom tollad import {_CLASSES[kind]}\n",
        f"detector = {_CLASSES[kind]}.load({name!r}{digest})",
        "scores = detector.anomaly_score(new)  # high = anomalous\nanomalous = scores > %s\n```\n"
        % ("detector.threshold_" if kind == "time-series" else "-detector.offset_"),
        f"On the command line: {_code(f'tollad score {shlex.quote(name)} DATA -o scores.csv')}.",
        "\n## Versions and digest\n",
        *_table("package", "version", card["versions"]),
        f"\nThe file has {len(content):,} bytes. Its SHA-256 is `{sha256}`. It is safetensors and JSON: no pickle, and "
        "nothing that runs code.",
    ]
    if card["notes"]:
        lines += ["\n## Notes\n", *_table("note", "value", card["notes"])]
    lines += ["\n## Citation\n", f"Ghafourian, Shui, Upadhyay, Gupta, Filev, Soltani: *Targeted collapse regularized "
              f"autoencoder for anomaly detection: black hole at the center*, [{_PAPER}]({_PAPER})."]  # fmt: skip
    return "\n".join(lines) + "\n"


def _of_rows(card: Mapping[str, Any]) -> list[str]:
    """Return the sections about the data and the training of a model of rows or of a series."""
    source = None if card["source"] is None else Source.from_json(card["source"])
    unit = "time steps" if card["series"] else "rows"
    lines = ["\n## Training data\n"]
    if source is None:
        lines += [f"{card['n_training_rows']:,} {unit}; the file does not say from where."]
    else:
        of_label = " or ".join(map(_escaped, source.normal))
        chosen = f" Those were taken whose {_escaped(source.label)} is {of_label}." if source.label else ""
        lines += [f"{_escaped(source.name)}: {source.n_used:,} of {source.n_read:,} {unit}.{chosen}"]
        if source.drop:
            lines += [f"\nLeft out: {', '.join(map(_escaped, source.drop))}."]
    columns = [Column.from_json(column) for column in card["columns"] or ()]
    if card["series"]:
        lines += ["", "Channels: " + _escaped(describe_series(card["series"]).replace("\n", "; ")) + "."]
    elif len(card["input_shape"]) > 1:
        lines += [f"\nEach row is an array of shape {tuple(card['input_shape'])}."]
    else:
        names = card["feature_names"] or [
            f"column {number}, without a name" for number in range(card["input_shape"][0])
        ]
        kinds = {
            column.name: line.removeprefix(f"{column.name}: ")
            for column, line in zip(columns, describe(columns), strict=True)
        }
        shown = {name: kinds.get(name, "number") for name in names[:_MOST_COLUMNS]}
        lines += ["", f"{card['input_shape'][0]:,} columns:\n", *_table("column", "kind", shown)]
        if len(names) > _MOST_COLUMNS:
            lines += [f"\n{len(names) - _MOST_COLUMNS:,} more columns are not listed."]
    losses = card["history"]["loss"]
    first, last = (sum(members) / len(members) for members in (card["history"]["initial_loss"], losses[-1]))
    asked = {**card["parameters"], **card["settings"], **(card["series"] or {}).get("parameters", {})}
    del asked["columns"]
    return [
        *lines,
        "\n## Training procedure\n",
        f"{card['n_steps']:,} steps; the loss fell from {first:.4g} to {last:.4g}; {card['n_weights']:,} weights.\n",
        *_table("hyperparameter", "value", asked),
    ]


def _of_images(card: Mapping[str, Any]) -> list[str]:
    channels, *size = card["shape"]
    look = f"{'grey' if channels == 1 else 'colour'}, {size[0]} x {size[1]} pixels"
    return [
        "\n## Training data\n",
        f"{_escaped(card['data'])}: {card['rows_used']:,} of {card['rows_read']:,} images, {look}.",
        "\n## Training procedure\n",
        *_table(
            "hyperparameter",
            "value",
            {
                "representation": f"{card['representation']}: {card['choice']}",
                "weights of the representation": card["weights"] or "none",
                "head": card["head"],
                "levels": card["levels"],
            },
        ),
    ]


def _threshold(card: Mapping[str, Any]) -> str:
    value, _, meaning = describe_threshold({"series": None, **card}).partition("; ")
    calibrated = f" {card['n_calibration_rows']:,} calibration rows were held out of the training."
    return f"The threshold is {value}: {meaning}." + (calibrated if card["n_calibration_rows"] else "")


def _limits(card: Mapping[str, Any], kind: str) -> list[str]:
    """Return intended use and limits of a model, by its kind and threshold."""
    noun = {"tabular": "rows", "time-series": "time steps", "images": "images"}[kind]
    limits = [
        f"It knows only what the training {noun} showed. Anomalies among them were learnt as normal.",
        "A high score says that something is unusual, not that it is bad, nor what has caused it.",
        f"Preprocessing and threshold are those of the training {noun}: fit again when normal {noun} have changed.",
    ]
    if (card["threshold_rule"] or {}).get("by") == "false_alarm_rate":
        limits.append(
            f"The false-alarm rate holds on average, for new normal {noun} drawn like the calibration {noun}."
        )
    else:
        limits.append(f"The threshold promises nothing about new normal {noun}: it keeps no false-alarm rate.")
    return [
        "\n## Intended uses and limitations\n",
        f"To find {noun} that are unlike those of the training.\n",
        *(f"- {limit}" for limit in limits),
    ]


def _table(first: str, second: str, values: Mapping[str, Any]) -> list[str]:
    return [
        f"| {first} | {second} |\n|---|---|",
        *(f"| {_escaped(name)} | {_escaped(_plain(value))} |" for name, value in values.items()),
    ]


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _escaped(text: str) -> str:
    """Escape text for Markdown, so that it makes no HTML, link, line break or table cell."""
    text = re.sub(r"([\\`*{}\[\]()#|~^$]|\b_|_\b)", r"\\\1", printable(text))
    return html.escape(text, quote=False).replace("://", "&#58;//").replace("www.", "www&#46;")


def _code(text: str) -> str:
    """Return text as inline code; the fence is longer than any run of backticks in it."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{' ' * text.startswith('`')}{text}{' ' * text.endswith('`')}{fence}"
