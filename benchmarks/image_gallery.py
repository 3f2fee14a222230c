"""Pictures of docs/images.md: what was seen, the map over it, and the mask, of good images and of some defects.

    python benchmarks/image_gallery.py [tiles] [texture] [digits] [photos] --tiles FOLDER --out docs/images

Shown is of each kind the image with the median score, neither the best nor the worst. The texture is bricks of seed 0,
see `benchmarks/textures.py`; the digits are the first 2,000 test images of MNIST, found in TOLLAD_DATA, and the photos
the first 500 horses and the first 1,000 test images of CIFAR-10.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import textures
from image_detectors import TILES, Case, folder
from numpy.typing import NDArray

from tollad import ImageDetector
from tollad.bench import protocols
from tollad.datasets.catalogue import CATALOGUE
from tollad.plots.style import new_figure, save_figure

# Sky blue of Okabe and Ito: told from the colours of the maps, and from grey.
_OUTLINE = "#56B4E9"
_SIDE = 1.45


def tiles(path: Path | None) -> Case:
    if path is None:
        raise SystemExit("the picture of the tiles needs their folder: --tiles FOLDER")
    return folder("free", path, "free", TILES["tiles"], grey=True)


def texture(path: Path | None) -> Case:
    with tempfile.TemporaryDirectory() as place:
        textures.write(Path(place), "brick", 0)
        return folder("good", Path(place), "good", textures.SIDE, grey=False)


def digits(path: Path | None) -> Case:
    """Eights are good; of all other digits some."""
    task = protocols.one_class("mnist", 8)
    eights, test = task.test_labels[:2000] == 0, task.test[:2000]
    kinds = np.array([str(number) for number in _classes("mnist")[:2000]])
    return Case("8", task.train, test, (~eights).astype(int), None, kinds)


def photos(path: Path | None) -> Case:
    """Horses are good; of all other classes some."""
    names = CATALOGUE["cifar10"].classes["class"]
    task = protocols.one_class("cifar10", names.index("horse"))
    kinds = np.array(names)[_classes("cifar10")[:1000]]
    return Case("horse", task.train[:500], task.test[:1000], (kinds != "horse").astype(int), None, kinds)


def _classes(name: str) -> NDArray[np.int64]:
    """Return which of the ten classes each test image shows."""
    is_one = [protocols.one_class(name, number).test_labels == 0 for number in range(10)]
    return np.argmax(is_one, axis=0)


def draw(case: Case, path: Path) -> None:
    """Draw of each kind the image with the median score: as seen, and its map and mask, if there are any."""
    explanation = ImageDetector(random_state=0).fit(case.train).explain(case.test)
    assert case.kinds is not None
    shown = {}
    for kind in (case.name, *sorted({*case.kinds.tolist()} - {case.name})):
        rows = np.flatnonzero(case.kinds == kind)
        shown[kind] = int(rows[np.argsort(explanation.scores[rows])[len(rows) // 2]])
    maps = None if explanation.maps is None else explanation.maps[[*shown.values()]]
    n_rows = 1 if maps is None else 2 if case.masks is None else 3
    figure = new_figure(_SIDE * len(shown) + 0.9, _SIDE * n_rows + 0.55)
    panels = figure.subplots(n_rows, len(shown), squeeze=False)
    for column, (kind, row) in enumerate(shown.items()):
        pixels = _pixels(case.test[row])
        panels[0, column].imshow(pixels, cmap="gray", vmin=0, vmax=1)
        panels[0, column].set_title(f"{kind}\nscore {explanation.scores[row]:.2f}", fontsize=9)
        if maps is not None:
            # From an average place of good images to nearly the highest that is shown, the same for all.
            highest = float(np.percentile(maps, 99.8))
            drawn = panels[1, column].imshow(maps[column], cmap="magma", vmin=1, vmax=highest)
        if case.masks is not None:
            panels[2, column].imshow(case.masks[row], cmap="gray", vmin=0, vmax=1)
            if case.masks[row].any():
                panels[1, column].contour(case.masks[row], levels=[0.5], colors=_OUTLINE, linewidths=1)
    for name, axes in zip(("seen", "map", "mask"), panels[:, 0], strict=False):
        axes.set_ylabel(name, fontsize=9)
    for axes in panels.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    if maps is not None:
        bar = figure.colorbar(drawn, ax=panels[1], shrink=0.95, pad=0.01, extend="both")
        bar.set_label("1 = good", fontsize=9)
        bar.ax.tick_params(labelsize=8)
    save_figure(figure, path, "png", overwrite=True)


def _pixels(image: NDArray[Any]) -> NDArray[Any]:
    """Return an image as it is drawn: (C, H, W), (H, W), bytes or from 0 to 1."""
    values = image / 255 if image.dtype == np.uint8 else image
    return values if values.ndim == 2 else values[0] if len(values) == 1 else values.transpose(1, 2, 0)


PICTURES: dict[str, Callable[[Path | None], Case]] = {
    function.__name__: function for function in (tiles, texture, digits, photos)
}
_FILES = {"tiles": "tiles", "texture": "texture", "digits": "digit-maps", "photos": "photos"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", choices=PICTURES, default=[*PICTURES])
    parser.add_argument("--tiles", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    for name in arguments.pictures:
        draw(PICTURES[name](arguments.tiles), arguments.out / f"{_FILES[name]}.png")


if __name__ == "__main__":
    main()
