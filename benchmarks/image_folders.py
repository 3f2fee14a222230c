"""Anomalies in folders of images, found by the commands as a user types them: the figures of docs/images.md.

    python benchmarks/image_folders.py [mnist] [digits] [china] [flower] [--work DIR] [--out FILE] [--pictures DIR]

Writes folders of PNG files and runs `tollad fit`, `calibrate`, `evaluate` and `score` on them, on one thread, seed 0:

- mnist: digit 8 is normal. The IDX files of MNIST in TOLLAD_DATA, see docs/data.md, and the same images as a folder.
- digits: the 8 x 8 pixels of scikit-learn's digits, 8 being normal; half of the eights to train on.
- china, flower: a photo of scikit-learn's cut into patches of 32 x 32 pixels. Patches of a grid are kept for the test
  and for the threshold; those to train on overlap none of them. Each patch of the test comes as it is and altered:
  with a scratch, with a square out of the other photo, and blurred.

Results are appended to FILE as JSON lines, and the pictures of `score --plot` go to DIR.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from pyarrow import csv
from sklearn.datasets import load_digits, load_sample_image

from tollad import TollDetector, metrics
from tollad.bench import machine
from tollad.datasets import formats
from tollad.io.images import open_images

PATCH, STRIDE, SQUARE = 32, 4, 12
RATE = 0.05
Bytes = NDArray[np.uint8]


def tollad(*arguments: object) -> tuple[str, float]:
    """Run a command: what it prints, and its CPU seconds."""
    code = "from tollad.cli.main import main; main()"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    text = " ".join(map(str, arguments))
    print(f"$ tollad {text}", flush=True)
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return done.stdout, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def fit(data: object, model: Path, *options: str) -> dict[str, Any]:
    output, seconds = tollad("fit", data, "-o", model, "--force", "--quiet", "--json", *options)
    result = json.loads(output)
    return {"rows": result["rows_used"], "shape": result["shape"], "steps": result["steps"], "cpu_seconds": seconds}


def scores_of(model: Path, data: object, column: str, *options: object) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The column of each image and its score."""
    out = model.with_suffix(".csv")
    tollad("score", model, data, "--id", column, "-o", out, "--force", *options)
    table = csv.read_csv(out)
    return np.array(table[column].cast("string").to_pylist()), table["score"].to_numpy()


def mnist(work: Path, pictures: Path) -> dict[str, Any]:
    source, parts = Path(os.environ["TOLLAD_DATA"]) / "mnist", {}
    for part in ("train", "t10k"):
        parts[part] = source / f"{part}-images-idx3-ubyte.gz"
        images, labels = formats.read_idx_pair(parts[part], source / f"{part}-labels-idx1-ubyte.gz")
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            if part == "t10k" or label == 8:
                save(work / part / str(label) / f"{number:05}.png", image)
    asked = ("--latent-dim", "16", "--steps", "600")
    model, from_folder = work / "eights.tollad", work / "eights-from-folder.tollad"
    row = fit(parts["train"], model, "--label", "label", "--normal", "8", *asked)
    measured = json.loads(tollad("evaluate", model, parts["t10k"], "--label", "label", "--normal", "8", "--json")[0])
    fit(work / "train", from_folder, "--label", "folder", "--normal", "8", *asked)
    same = tollad("evaluate", from_folder, work / "t10k", "--label", "folder", "--normal", "8", "--json")[0]
    picture = pictures / "digits.png"
    _, scores = scores_of(from_folder, work / "t10k", "file", "--plot", picture)
    digits, _ = scores_of(from_folder, work / "t10k", "folder")
    by_digit = {digit: auroc(scores, digits, digit, "8") for digit in sorted({*digits.tolist()} - {"8"})}
    return {**row, "auroc": measured["auroc"], "auroc_from_folder": json.loads(same)["auroc"], "by_kind": by_digit}


def digits(work: Path, pictures: Path) -> dict[str, Any]:
    data = load_digits()
    eights = np.random.default_rng(0).permutation(np.flatnonzero(data.target == 8))
    trained = {*eights[: len(eights) // 2].tolist()}
    for number, (image, digit) in enumerate(zip(data.images, data.target, strict=True)):
        part = "train" if number in trained else "test"
        save(work / part / str(digit) / f"{number:04}.png", (image * 255 / 16).astype(np.uint8))
    model = work / "eights.tollad"
    row = fit(work / "train", model, "--latent-dim", "16", "--steps", "600")
    kinds, scores = scores_of(model, work / "test", "folder")
    by_digit = {digit: auroc(scores, kinds, digit, "8") for digit in sorted({*kinds.tolist()} - {"8"})}
    return {**row, "auroc": metrics.auroc(kinds != "8", scores), "by_kind": by_digit}


def photo(work: Path, pictures: Path, name: str, other: str) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    masks = write_patches(work, load_sample_image(f"{name}.jpg"), load_sample_image(f"{other}.jpg"), rng)
    model, calibrated = work / "first.tollad", work / f"{name}.tollad"
    row = fit(work / "train", model, "--steps", "400")
    tollad("calibrate", model, work / "fresh", "-o", calibrated, "--false-alarm-rate", RATE, "--force")
    labels = ("--label", "folder", "--normal", "normal")
    measured = json.loads(tollad("evaluate", calibrated, work / "test", *labels, "--json")[0])
    scores_of(calibrated, work / "test", "file", "--plot", pictures / f"{name}.png")
    kinds, scores = scores_of(calibrated, work / "test", "folder")
    detector = TollDetector.load(calibrated)
    by_kind, found, rises = {}, {}, {}
    for kind in sorted({*kinds.tolist()} - {"normal"}):
        by_kind[kind] = auroc(scores, kinds, kind, "normal")
        found[kind] = float((scores[kinds == kind] > -detector.offset_).mean())
        rises[kind] = float((scores[kinds == kind] > scores[kinds == "normal"]).mean())
    where = {kind: located(detector, work / "test" / kind, of_kind) for kind, of_kind in masks.items()}
    return {
        **row,
        "auroc": measured["auroc"],
        "false_alarm_rate": measured["false_alarm_rate"],
        "n_normal": measured["n_normal"],
        "by_kind": by_kind,
        "found_by_kind": found,
        "share_whose_score_rises": rises,
        "median_auroc_of_pixels": where,
    }


def located(detector: TollDetector, folder: Path, masks: NDArray[np.bool_]) -> float:
    """How well the heat map of an altered patch tells the altered pixels from the others: the median over patches."""
    source = open_images(folder)
    maps = detector.explain(source.take(range(len(source)))).parts.sum(1)
    return float(np.median([metrics.auroc(mask.ravel(), heat.ravel()) for mask, heat in zip(masks, maps, strict=True)]))


def auroc(scores: NDArray[np.float64], kinds: NDArray[Any], kind: str, normal: str) -> float:
    chosen = (kinds == kind) | (kinds == normal)
    return metrics.auroc(kinds[chosen] == kind, scores[chosen])


def write_patches(work: Path, photo: Bytes, other: Bytes, rng: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    """Cut a photo up; which pixels of each altered patch differ, where they are not all of them."""
    height, width = (side // PATCH for side in photo.shape[:2])
    cells = rng.permutation(height * width)
    n_kept = height * width // 6
    kept = np.zeros((height, width), bool)
    kept.flat[cells[: 2 * n_kept]] = True
    tops, lefts = (range(0, side * PATCH - PATCH + 1, STRIDE) for side in (height, width))
    for y, x in itertools.product(tops, lefts):
        touched = kept[y // PATCH : (y + PATCH - 1) // PATCH + 1, x // PATCH : (x + PATCH - 1) // PATCH + 1]
        if not touched.any():
            save(work / "train" / f"{y:03}-{x:03}.png", photo[y : y + PATCH, x : x + PATCH])
    masks: dict[str, list[NDArray[np.bool_]]] = {"paste": [], "scratch": []}
    for number, cell in enumerate(sorted(cells[: 2 * n_kept].tolist())):
        y, x = cell // width * PATCH, cell % width * PATCH
        patch = photo[y : y + PATCH, x : x + PATCH]
        if number % 2:
            save(work / "fresh" / f"{number:03}.png", patch)
            continue
        name = f"{number:03}.png"
        save(work / "test" / "normal" / name, patch)
        save(work / "test" / "blur" / name, Image.fromarray(patch).filter(ImageFilter.GaussianBlur(2)))
        for kind, altered in (("paste", pasted(patch, other, rng)), ("scratch", scratched(patch, rng))):
            save(work / "test" / kind / name, altered)
            masks[kind].append((altered != patch).any(2))
    return {kind: np.array(of_kind) for kind, of_kind in masks.items()}


def pasted(patch: Bytes, other: Bytes, rng: np.random.Generator) -> Bytes:
    """Put a square out of another photo somewhere into a patch."""
    v, u = (rng.integers(0, side - SQUARE) for side in other.shape[:2])
    y, x = rng.integers(0, PATCH - SQUARE, 2)
    altered = patch.copy()
    altered[y : y + SQUARE, x : x + SQUARE] = other[v : v + SQUARE, u : u + SQUARE]
    return altered


def scratched(patch: Bytes, rng: np.random.Generator) -> Bytes:
    """Draw a line of one colour, two pixels wide and about twenty long, somewhere into a patch."""
    image, angle = Image.fromarray(patch), rng.uniform(0, np.pi)
    middle, arm = rng.uniform(10, 22, 2), 10 * np.array([np.cos(angle), np.sin(angle)])
    colour = tuple(rng.integers(0, 256, 3).tolist())
    ImageDraw.Draw(image).line([*(middle - arm), *(middle + arm)], fill=colour, width=2)
    return np.asarray(image)


def save(path: Path, image: Bytes | Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path)


CASES = {
    "mnist": mnist,
    "digits": digits,
    "china": lambda work, pictures: photo(work, pictures, "china", "flower"),
    "flower": lambda work, pictures: photo(work, pictures, "flower", "china"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=[*CASES], metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--work", type=Path, default=Path("image-folders"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/image_folders.jsonl"))
    parser.add_argument("--pictures", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    for name in arguments.cases:
        work = arguments.work / name
        shutil.rmtree(work, ignore_errors=True)
        row = {
            "case": name,
            **CASES[name](work, arguments.pictures),
            "seed": 0,
            "date": datetime.date.today().isoformat(),
            "cpu": machine.device_name(torch.device("cpu")),
            "versions": machine.versions(),
        }
        with arguments.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row, indent=2), flush=True)


if __name__ == "__main__":
    main()
