"""Image detectors beside simple peers on classes, textures with synthetic defects and magnetic tiles, as JSON lines.

    python benchmarks/image_detectors.py --out benchmarks/results/image_detectors.jsonl --missing

One process, one thread, seed 0 unless --seed. Every method learns from the good training images only, labels serve the
measures alone. MNIST and Fashion-MNIST: the official test images, the paper's training split. Textures: see
`benchmarks/textures.py`. Magnetic tiles: in the folder of --tiles, `train`, `test/KIND` and `masks/KIND`.

Peers: 16 principal components (their reconstruction error), the mean distance to the 5 nearest training images, the
Mahalanobis distance of Ledoit and Wolf, each on pixels (at 32 x 32); and with the same pre-trained network two of the
kind of PatchCore (nearest of a coreset of places) and of PaDiM (a Gaussian for each place).
"""

from __future__ import annotations

import argparse
import datetime
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from tollad import ImageDetector, methods, metrics
from tollad.bench import machine, protocols
from tollad.images import open_images
from tollad.images.representations import efficientnet_lite2
from tollad.io.maps import read_mask

Floats = NDArray[np.float64]
Scores = tuple[Floats, Floats | None]
TILES, TEXTURES = 192, ("brick", "grass", "gravel", "immunohistochemistry", "coins", "moon")
_MOST_PLACES = 2000


def tollad_auto(train: Any, test: Any, seed: int) -> Scores:
    return _detected(ImageDetector(random_state=seed), train, test)


def tollad_image(train: Any, test: Any, seed: int) -> Scores:
    return _detected(ImageDetector(levels="image", random_state=seed), train, test)


def tollad_positions(train: Any, test: Any, seed: int) -> Scores:
    return _detected(ImageDetector(levels="positions", random_state=seed), train, test)


def gradients_ledoit_wolf(train: Any, test: Any, seed: int) -> Scores:
    return _detected(ImageDetector("gradients", head="ledoit_wolf", random_state=seed), train, test)


def gradients_collapse(train: Any, test: Any, seed: int) -> Scores:
    return _detected(ImageDetector("gradients", head="collapse", random_state=seed), train, test)


def pca_16(train: Any, test: Any, seed: int) -> Scores:
    return methods.PrincipalComponents(n=16).fit(_flat(train)).anomaly_score(_flat(test)), None


def nearest_5(train: Any, test: Any, seed: int) -> Scores:
    return methods.NearestNeighbours(n=5).fit(_flat(train)).anomaly_score(_flat(test)), None


def ledoit_wolf(train: Any, test: Any, seed: int) -> Scores:
    return np.sqrt(LedoitWolf().fit(_flat(train)).mahalanobis(_flat(test))), None


def like_patchcore(train: Any, test: Any, seed: int) -> Scores:
    """Distance of each place to the nearest of 2,000 random places of good images; the highest of an image."""
    good, new = _places(train), _places(test)
    rows = good.reshape(-1, good.shape[3])
    kept = np.random.default_rng(seed).permutation(len(rows))[:_MOST_PLACES]
    model = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(rows[kept])
    maps = model.kneighbors(new.reshape(-1, new.shape[3]))[0].reshape(new.shape[:3])
    return maps.max((1, 2)), _enlarged(maps, test.shape[2:])


def like_padim(train: Any, test: Any, seed: int) -> Scores:
    """Mahalanobis distance of each place from the good ones at that place, by 100 channels; the highest of an image."""
    good, new = _places(train), _places(test)
    chosen = np.random.default_rng(seed).permutation(good.shape[3])[:100]
    maps = np.empty(new.shape[:3])
    for y in range(good.shape[1]):
        for x in range(good.shape[2]):
            model = LedoitWolf().fit(good[:, y, x, chosen].astype(np.float64))
            maps[:, y, x] = np.sqrt(model.mahalanobis(new[:, y, x, chosen]))
    return maps.max((1, 2)), _enlarged(maps, test.shape[2:])


ON_CLASSES = (tollad_auto, gradients_ledoit_wolf, gradients_collapse, pca_16, nearest_5, ledoit_wolf)
ON_DEFECTS = (tollad_auto, tollad_image, tollad_positions, pca_16, nearest_5, ledoit_wolf, like_patchcore, like_padim)


def _detected(detector: ImageDetector, train: Any, test: Any) -> Scores:
    explanation = detector.fit(train).explain(test)
    return explanation.scores, explanation.maps


def _flat(images: NDArray[Any]) -> Floats:
    x = torch.as_tensor(np.asarray(images, np.float32) / (255 if images.dtype == np.uint8 else 1))
    x = x[:, None] if x.ndim == 3 else x
    if min(x.shape[2:]) > 32:
        x = torch.nn.functional.interpolate(x, size=(32, 32), mode="bilinear", antialias=True)
    return x.flatten(1).double().numpy()


def _places(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blocks 6, 10 and 14 side by side on the grid of the first: (n, h, w, 256)."""
    seen = efficientnet_lite2(images).places
    maps = [torch.tensor(places).permute(0, 3, 1, 2) for places in seen.values()]
    joined = [torch.nn.functional.interpolate(m, size=maps[0].shape[2:], mode="bilinear") for m in maps]
    return torch.cat(joined, 1).permute(0, 2, 3, 1).numpy()


def _enlarged(maps: Floats, size: tuple[int, int]) -> Floats:
    return torch.nn.functional.interpolate(torch.tensor(maps)[:, None], size=size, mode="bilinear")[:, 0].numpy()


def classes(name: str) -> Any:
    """Yield each class of a data set: its name, training images, test images, labels, no masks."""
    for number in range(10):
        task = protocols.one_class(name, number)
        yield f"{name}/{number}", task.train, task.test, task.test_labels, None, None


def folder(name: str, path: Path, normal: str, size: int) -> Any:
    """Return a folder with train, test and masks: its name, images, labels, masks and kinds."""
    grey = name == "tiles"
    train, test = (open_images(path / part, size=(size, size), grey=grey) for part in ("train", "test"))
    kinds = np.array(test.columns["folder"])
    masks = np.zeros((len(test), size, size), np.bool_)
    for number in np.flatnonzero(kinds != normal).tolist():
        file = test.columns["file"][number]
        masks[number] = read_mask(str(path / "masks"), str(path / "test" / file), file, (size, size))
    every = (source.take(range(len(source))) for source in (train, test))
    return (name, *every, (kinds != normal).astype(int), masks, kinds)


def measured(method: Callable[..., Scores], case: Any, seed: int) -> dict[str, Any]:
    name, train, test, labels, masks, kinds = case
    before = time.process_time()
    scores, maps = method(train, test, seed)
    row: dict[str, Any] = {
        "case": name,
        "method": method.__name__,
        "seed": seed,
        "auroc": metrics.auroc(labels, scores),
        "average_precision": metrics.average_precision(labels, scores),
        "n_train": len(train),
        "n_test": len(test),
        "cpu_seconds": round(time.process_time() - before, 2),
    }
    if masks is not None and maps is not None:
        marked = (labels == 0) | masks.any((1, 2))  # one mask of the tiles is empty
        masks, maps = masks[marked], maps[marked]
        row |= {"pixel_auroc": metrics.auroc(masks.ravel(), maps.astype(np.float32).ravel())}
        row |= {"pro": metrics.pro(masks, maps), "pro_5": metrics.pro(masks, maps, limit=0.05)}
    if kinds is not None:
        good = labels == 0
        row["by_kind"] = {
            kind: metrics.auroc(labels[good | (kinds == kind)], scores[good | (kinds == kind)])
            for kind in sorted({*kinds[~good].tolist()})
        }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=["tiles", "textures", "mnist", "fashion_mnist"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiles", type=Path)
    parser.add_argument("--textures", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--missing", action="store_true", help="leave out what the file holds already")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    done = set()
    if arguments.missing and arguments.out.exists():
        rows = map(json.loads, arguments.out.read_text(encoding="utf-8").splitlines())
        done = {(row["case"], row["method"], row["seed"]) for row in rows}
    for name in arguments.sets:
        if name == "tiles":
            cases: Any = [folder(name, arguments.tiles, "free", TILES)]
        elif name == "textures":
            cases = (folder(f"texture/{one}", arguments.textures / one, "good", 64) for one in TEXTURES)
        else:
            cases = classes(name)
        for case in cases:
            for method in ON_DEFECTS if name in ("tiles", "textures") else ON_CLASSES:
                if (case[0], method.__name__, arguments.seed) in done:
                    continue
                row = measured(method, case, arguments.seed)
                row |= {"date": datetime.date.today().isoformat(), "cpu": machine.describe(torch.device("cpu"))}
                row |= {"versions": machine.versions()}
                with arguments.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(row["case"], row["method"], round(row["auroc"], 4), row["cpu_seconds"], flush=True)


if __name__ == "__main__":
    main()
