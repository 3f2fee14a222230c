"""Pictures of docs/images.md: what was seen, the map, and the mask of some defects.

    python benchmarks/image_gallery.py --tiles FOLDER --textures FOLDER --out docs/images

Shown is of each kind the image with the median score, neither the best nor the worst.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from tollad import ImageDetector
from tollad.images import open_images


def draw(folder: Path, size: int, path: Path, kinds: list[str], *, grey: bool) -> None:
    """Draw of each kind the image with the median score, above its map, its defect outlined."""
    train, test = (open_images(folder / part, size=(size, size), grey=grey) for part in ("train", "test"))
    explanation = ImageDetector(random_state=0).fit(train).explain(test)
    of_kind, files = np.array(test.columns["folder"]), test.columns["file"]
    shown = []
    for kind in kinds:
        rows = np.flatnonzero(of_kind == kind)
        shown.append(int(rows[np.argsort(explanation.scores[rows])[len(rows) // 2]]))
    figure = Figure(figsize=(1.75 * len(kinds), 3.9), layout="constrained")
    panels = figure.subplots(2, len(kinds))
    for column, (row, kind) in enumerate(zip(shown, kinds, strict=True)):
        image, heat = test.take([row])[0], explanation.maps[row]
        pixels: Any = image.transpose(1, 2, 0) if len(image) == 3 else image[0]
        panels[0, column].imshow(pixels, cmap="gray", vmin=0, vmax=1)
        panels[0, column].set_title(f"{kind}\n{explanation.scores[row]:.2f}", fontsize="small")
        drawn = panels[1, column].imshow(heat, cmap="magma", vmin=0.5, vmax=3)
        mask = folder / "masks" / Path(files[row]).with_suffix(".png")
        if mask.exists():
            outline = np.asarray(Image.open(mask).convert("L").resize((size, size))) > 127
            for axes in panels[:, column]:
                axes.contour(outline, levels=[0.5], colors="#56B4E9", linewidths=1.2)
    for axes in panels.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    figure.colorbar(drawn, ax=panels[1], shrink=0.8, label="1 = good")
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=Path, required=True)
    parser.add_argument("--textures", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    arguments = parser.parse_args()
    kinds = ["free", "blowhole", "break", "crack", "fray", "uneven"]
    draw(arguments.tiles, 192, arguments.out / "tiles.png", kinds, grey=True)
    kinds = ["good", "scratch", "spot", "stain", "foreign", "blur", "turned"]
    draw(arguments.textures / "brick", 64, arguments.out / "texture.png", kinds, grey=False)


if __name__ == "__main__":
    main()
