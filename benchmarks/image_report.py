"""Write the tables of docs/images.md from what `benchmarks/image_detectors.py` measured.

    python benchmarks/image_report.py benchmarks/results/image_detectors.jsonl [--page docs/images.md]

What lies between the two comments `measured` of the page is replaced; without a page the tables are printed. A mean
over cases is shown where all cases have been measured, and else how many of them.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from image_detectors import METHODS
from textures import TEXTURES

from tollad.io.files import atomic_write

START, END = "<!-- measured: written by benchmarks/image_report.py -->", "<!-- end of measured -->"
NAMES = {
    "tollad_auto": "default",
    "tollad_image": '`levels="image"`',
    "tollad_positions": '`levels="positions"`',
    "tollad_kind": "its level `kind` alone",
    "tollad_texture": "its level `texture` alone",
    "efficientnet_lite2": '`"efficientnet_lite2"`: shown smaller',
    "gradients_ledoit_wolf": 'gradients, `head="ledoit_wolf"`',
    "gradients_collapse": 'gradients, `head="collapse"`',
    "like_padim": "like PaDiM (the same network)",
    "like_patchcore": "like PatchCore (the same network)",
    "features_nearest_5": "5 nearest on features of `kind`",
    "features_pca_16": "16 principal components of features of `kind`",
    "ledoit_wolf": "Ledoit-Wolf on pixels",
    "nearest_5": "5 nearest on pixels",
    "pca_16": "16 principal components of pixels",
}
SETS = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10_part": "CIFAR-10, a part",
    "cifar100_part": "CIFAR-100, a part",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
}
_SIZES = {
    "tiles": 1,
    "tiles_256": 1,
    "texture": len(TEXTURES),
    "mnist": 10,
    "fashion_mnist": 10,
    "cifar10_part": 10,
    "cifar100_part": 20,
    "cifar10": 10,
    "cifar100": 20,
}
# What the project asks of its defaults: never an input of anything.
TARGETS = (
    ("tiles", "auroc", 0.975),
    ("tiles", "pixel_auroc", 0.85),
    ("tiles_256", "auroc", 0.975),
    ("tiles_256", "pixel_auroc", 0.85),
    ("texture", "auroc", 0.88),
    ("texture", "pixel_auroc", 0.90),
    ("mnist", "auroc", 0.988),
    ("fashion_mnist", "auroc", 0.953),
    ("cifar10", "auroc", 0.95),
)
_WORDS = {
    "auroc": "images",
    "pixel_auroc": "pixels",
    "tiles": "magnetic tiles",
    "tiles_256": "magnetic tiles at 256",
    "texture": "textures",
    **SETS,
}

Rows = Sequence[dict[str, Any]]


class Measured:
    """Means of each measure over the seeds, then over the cases of a set."""

    def __init__(self, rows: Rows) -> None:
        self.found: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
        for row in rows:
            self.found[row["case"].partition("/")[0], row["method"]][row["case"]].append(row)

    def mean(self, data: str, method: str, measure: str) -> float | None:
        """Return the mean over all cases of a set, None if one is missing or has no such measure."""
        cases = self.found[data, method]
        if len(cases) < _SIZES[data] or any(measure not in row for rows in cases.values() for row in rows):
            return None
        return float(np.mean([np.mean([row[measure] for row in rows]) for rows in cases.values()]))

    def cell(self, data: str, method: str, measure: str = "auroc") -> str:
        """Return the mean as text: empty if nothing was measured, in words if not all cases were."""
        cases, mean = self.found[data, method], self.mean(data, method, measure)
        if mean is not None:
            return f"{mean:.4f}" if data in SETS else f"{mean:.3f}"
        return f"({len(cases)} of {_SIZES[data]})" if cases and measure == "auroc" else ""

    def seeds(self, data: str, method: str) -> str:
        """Return how many seeds the cases were measured with, such as "2 to 5"."""
        counts = {len({row["seed"] for row in rows}) for rows in self.found[data, method].values()} or {0}
        return " to ".join(str(count) for count in sorted({min(counts), max(counts)}))


def classes_table(found: Measured) -> list[str]:
    """Return AUROC of images by set and method, as means over the classes."""
    sets = [name for name in SETS if any(data == name and cases for (data, _), cases in found.found.items())]
    lines = [["method", *(SETS[name] for name in sets)], ["---", *["---:"] * len(sets)]]
    for method, name in NAMES.items():
        cells = [found.cell(data, method) for data in sets]
        if any(cells):
            lines.append([name, *cells])
    return _table(lines)


def defects_table(found: Measured) -> list[str]:
    """Return AUROC of images and pixels and PRO on tiles and textures by method, each a mean over cases and seeds."""
    measures = ("auroc", "pixel_auroc", "pro")
    heads = [f"{what}: {name}" for what in ("tiles", "tiles at 256", "textures") for name in ("image", "pixels", "PRO")]
    lines = [["method", *heads, "seeds, textures"], ["---", *["---:"] * 10]]
    for method, name in NAMES.items():
        cells = [
            found.cell(data, method, measure) for data in ("tiles", "tiles_256", "texture") for measure in measures
        ]
        if any(cells):
            lines.append([name, *cells, found.seeds("texture", method)])
    return _table(lines)


def by_texture_table(found: Measured) -> list[str]:
    """Return AUROC of images and of pixels of the default and of the peers by texture."""
    methods = ("tollad_auto", "like_padim", "like_patchcore")
    lines = [["texture", *(f"{NAMES[method]}: image, pixels" for method in methods)], ["---", *["---:"] * len(methods)]]
    for texture in TEXTURES:
        cells = []
        for method in methods:
            rows = found.found["texture", method].get(f"texture/{texture}", [])
            means = [np.mean([row[measure] for row in rows]) for measure in ("auroc", "pixel_auroc") if rows]
            cells.append(", ".join(f"{mean:.3f}" for mean in means))
        lines.append([texture, *cells])
    return _table(lines)


def targets_table(found: Measured) -> list[str]:
    """Return what is asked of the default, and whether it is met."""
    lines = [["data", "asked for", "measured", "met"], ["---", "---:", "---:", "---"]]
    for data, measure, target in TARGETS:
        mean = found.mean(data, "tollad_auto", measure)
        met = "not measured" if mean is None else "yes" if mean >= target else "no"
        lines.append(
            [f"{_WORDS[data]}, {_WORDS[measure]}", f"{target:.3f}", "" if mean is None else f"{mean:.4f}", met]
        )
    return _table(lines)


def _table(lines: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(line) + " |" for line in lines]


def written(rows: Rows) -> str:
    """Return all tables as Markdown."""
    found = Measured(rows)
    dates = sorted({row["date"] for row in rows})
    processors = sorted({row["cpu"] for row in rows})
    of_classes = (
        "Classes: AUROC of the official test images, mean over the classes, seed 0. A part has the first 500 training "
        "images of each class and the first 1,000 test images."
    )
    parts = [
        [of_classes, "", *classes_table(found)],
        ["Defects: AUROC of images and pixels, and PRO at 30 %.", "", *defects_table(found)],
        ["By texture:", "", *by_texture_table(found)],
        ["What was asked of the default:", "", *targets_table(found)],
        [f"Measured from {dates[0]} to {dates[-1]} on: {'; '.join(processors)}; one thread, shared with other work."],
    ]
    return "\n\n".join("\n".join(part) for part in parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    known = {f.__name__ for chosen in METHODS.values() for f in chosen} | NAMES.keys()
    rows = [json.loads(line) for line in arguments.results.read_text(encoding="utf-8").splitlines()]
    text = written([row for row in rows if row["method"] in known])
    if arguments.page is None:
        print(text)
        return
    before, start, rest = arguments.page.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise SystemExit(f"{arguments.page}: has no place between the comments {START} and {END}")
    with atomic_write(arguments.page) as file:
        file.write(f"{before}{START}\n\n{text}\n\n{END}{after}".encode())


if __name__ == "__main__":
    main()
