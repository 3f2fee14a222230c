"""Six textures of scikit-image with seeded synthetic defects of six kinds, as folders: train, test/KIND, masks/KIND.

    python benchmarks/textures.py OUT --seed 0

Patches of 64 x 64 pixels: 100 good ones to learn from out of two opposite quarters of a picture; 60 good ones and 20 of
each kind of defect out of the other two. Needs scikit-image.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from skimage import data

SIDE, N_TRAIN, N_GOOD, N_OF_A_KIND = 64, 100, 60, 20
TEXTURES = ("brick", "grass", "gravel", "immunohistochemistry", "coins", "moon")

Pixels = NDArray[np.uint8]


def scratch(patch: Image.Image, mask: Image.Image, rng: np.random.Generator, other: Pixels) -> Image.Image:
    """A thin line, lighter or darker than what it crosses."""
    altered, angle, middle = patch.copy(), rng.uniform(0, np.pi), rng.uniform(20, 44, 2)
    arm = rng.uniform(8, 16) * np.array([np.cos(angle), np.sin(angle)])
    line = [*(middle - arm), *(middle + arm)]
    ImageDraw.Draw(mask).line(line, fill=255, width=2)
    ImageDraw.Draw(altered).line(line, fill=_grey(patch, rng.choice([40, 215])), width=2)
    return altered


def spot(patch: Image.Image, mask: Image.Image, rng: np.random.Generator, other: Pixels) -> Image.Image:
    """A dark hole with a soft edge."""
    _ellipse(mask, rng, 4, 8)
    return Image.composite(Image.new(patch.mode, patch.size, _grey(patch, 30)), patch, _soft(mask, 1))


def stain(patch: Image.Image, mask: Image.Image, rng: np.random.Generator, other: Pixels) -> Image.Image:
    """A place that is lighter or darker by a quarter, with its texture left."""
    _ellipse(mask, rng, 8, 14)
    factor = rng.choice([0.72, 1.3])
    changed = patch.point(lambda value: min(255, value * factor))
    return Image.composite(changed, patch, _soft(mask, 2))


def blur(patch: Image.Image, mask: Image.Image, rng: np.random.Generator, other: Pixels) -> Image.Image:
    """A place out of focus."""
    _ellipse(mask, rng, 9, 15)
    return Image.composite(patch.filter(ImageFilter.GaussianBlur(2.5)), patch, _soft(mask, 1))


def foreign(patch: Image.Image, mask: Image.Image, rng: np.random.Generator, other: Pixels) -> Image.Image:
    """A piece of another texture."""
    _ellipse(mask, rng, 8, 13)
    y, x = (rng.integers(0, side - SIDE) for side in other.shape[:2])
    piece = Image.fromarray(other[y : y + SIDE, x : x + SIDE]).convert(patch.mode)
    return Image.composite(piece, patch, _soft(mask, 0.5))


def turned(patch: Image.Image, mask: Image.Image, rng: np.random.Generator, other: Pixels) -> Image.Image:
    """A piece of the same patch, turned by a right angle or to its head."""
    _ellipse(mask, rng, 10, 15)
    way = Image.Transpose[str(rng.choice(["ROTATE_90", "FLIP_TOP_BOTTOM"]))]
    return Image.composite(patch.transpose(way), patch, _soft(mask, 0.5))


KINDS: dict[str, Callable[[Image.Image, Image.Image, np.random.Generator, Pixels], Image.Image]] = {
    function.__name__: function for function in (scratch, spot, stain, blur, foreign, turned)
}


def write(folder: Path, name: str, seed: int) -> None:
    """Write the patches of one texture below a folder."""
    picture = getattr(data, name)()
    other = getattr(data, TEXTURES[(TEXTURES.index(name) + 1) % len(TEXTURES)])()
    rng = np.random.default_rng([seed, TEXTURES.index(name)])
    down, across = (side // 2 for side in picture.shape[:2])
    learnt = [picture[:down, :across], picture[down:, across:]]
    tested = [picture[:down, across:], picture[down:, :across]]
    for number in range(N_TRAIN):
        _save(_cut(learnt[number % 2], rng), folder / "train" / f"{number:03}.png")
    for number in range(N_GOOD):
        _save(_cut(tested[number % 2], rng), folder / "test" / "good" / f"{number:03}.png")
    for kind, alter in KINDS.items():
        for number in range(N_OF_A_KIND):
            patch, mask = _cut(tested[number % 2], rng), Image.new("L", (SIDE, SIDE))
            _save(alter(patch, mask, rng, other), folder / "test" / kind / f"{number:03}.png")
            _save(mask, folder / "masks" / kind / f"{number:03}.png")


def _cut(picture: Any, rng: np.random.Generator) -> Image.Image:
    y, x = (rng.integers(0, side - SIDE + 1) for side in picture.shape[:2])
    return Image.fromarray(picture[y : y + SIDE, x : x + SIDE])


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def _ellipse(mask: Image.Image, rng: np.random.Generator, least: float, most: float) -> None:
    (x, y), (across, down) = rng.uniform(16, SIDE - 16, 2), rng.uniform(least, most, 2)
    ImageDraw.Draw(mask).ellipse([x - across, y - down, x + across, y + down], fill=255)


def _soft(mask: Image.Image, radius: float) -> Image.Image:
    return mask.filter(ImageFilter.GaussianBlur(radius))


def _grey(patch: Image.Image, value: int) -> Any:
    return int(value) if patch.mode == "L" else (int(value),) * 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name in TEXTURES:
        write(arguments.out / name, name, arguments.seed)


if __name__ == "__main__":
    main()
