"""Image detectors beside simple peers on magnetic tiles, textures with synthetic defects and classes, as JSON lines.

    python benchmarks/image_detectors.py [SET ...] --out benchmarks/results/image_detectors.jsonl [--seeds 0 1 2 3 4]

Sets: tiles, tiles_256, textures, mnist, fashion_mnist, cifar10_part, cifar100_part, cifar10, cifar100. What the file
holds already is not measured again. One process, one thread. Every method learns from the good training images only;
labels serve the measures alone.

- tiles, tiles_256: in the folder of --tiles, `train`, `test/KIND` and `masks/KIND`, at 192 x 192 and 256 x 256 pixels.
- textures: six, written anew for each seed, see `benchmarks/textures.py`.
- classes of MNIST, Fashion-MNIST and CIFAR-10 and superclasses of CIFAR-100: the official test images, the paper's
  training split. The data sets are found in TOLLAD_DATA, see docs/data.md. cifar10_part and
  cifar100_part have the first 500 training images of each class and the first 1,000 test images, for slow machines.

Peers: 16 principal components (their reconstruction error), the mean distance to the 5 nearest training images, the
Mahalanobis distance of Ledoit and Wolf, each on pixels (at most 32 x 32); the first two on features of the default for
images of many kinds, too (Ledoit and Wolf on these are its level `kind`); and with the same pre-trained network two of
the kind of PatchCore (nearest of a coreset of positions) and of PaDiM (a Gaussian for each position). A method whose
result no seed changes is measured with the first one, but on textures, which each seed draws anew.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import textures
import torch
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors

from tollad import ImageDetector, methods, metrics
from tollad.bench import machine, protocols
from tollad.images import open_images, representations
from tollad.images.representations import ImageFeatures, Representation
from tollad.images.scorer import gathered
from tollad.io.maps import read_mask
from tollad.io.pixels import floats_of

Floats = NDArray[np.float64]
Scores = tuple[Floats, Floats | None]
TILES = {"tiles": 192, "tiles_256": 256}
_MOST_POSITIONS = 2000
_PART = 500, 1000


@dataclass(frozen=True)
class Case:
    """Good images to learn from, test images, and what is known of them.

    Attributes
    ----------
    name : str
    train, test : ndarray, (n, C, H, W)
    labels : ndarray of int64, (n,)
        1 = anomaly.
    masks : ndarray of bool, (n, H, W), or None
    kinds : ndarray of str, (n,), or None
    """

    name: str
    train: NDArray[Any]
    test: NDArray[Any]
    labels: NDArray[np.int64]
    masks: NDArray[np.bool_] | None = None
    kinds: NDArray[np.str_] | None = None


def tollad_auto(case: Case, seed: int) -> dict[str, Scores]:
    """The default, and its levels alone: what ``levels="image"`` and ``levels="positions"`` score."""
    seen = _seen_once(case.train.shape[1:])
    explanation = ImageDetector(seen, random_state=seed).fit(case.train).explain(case.test)
    found: dict[str, Scores] = {"tollad_auto": (explanation.scores, explanation.maps)}
    if "positions" in explanation.levels:
        whole = ImageDetector(seen, levels="image", random_state=seed).fit(case.train).anomaly_score(case.test)
        found["tollad_image"] = whole, None
        found["tollad_positions"] = explanation.by_level[:, -1], explanation.maps
    elif len(explanation.levels) > 1:
        found |= {
            f"tollad_{name}": (scores, None)
            for name, scores in zip(explanation.levels, explanation.by_level.T, strict=True)
        }
    return found


def efficientnet_lite2(case: Case, seed: int) -> dict[str, Scores]:
    """The same network, shown images of 128 pixels where the default shows them larger."""
    explanation = ImageDetector("efficientnet_lite2", random_state=seed).fit(case.train).explain(case.test)
    return {"efficientnet_lite2": (explanation.scores, explanation.maps)}


def gradients_ledoit_wolf(case: Case, seed: int) -> dict[str, Scores]:
    return _by_gradients("ledoit_wolf", case, seed)


def gradients_collapse(case: Case, seed: int) -> dict[str, Scores]:
    return _by_gradients("collapse", case, seed)


def _by_gradients(head: Any, case: Case, seed: int) -> dict[str, Scores]:
    detector = ImageDetector("gradients", head=head, random_state=seed).fit(case.train)
    return {f"gradients_{head}": (detector.anomaly_score(case.test), None)}


def pca_16(case: Case, seed: int) -> dict[str, Scores]:
    train, test = _flat(case.train), _flat(case.test)
    return {"pca_16": (methods.PrincipalComponents(n=16).fit(train).anomaly_score(test), None)}


def nearest_5(case: Case, seed: int) -> dict[str, Scores]:
    train, test = _flat(case.train), _flat(case.test)
    return {"nearest_5": (methods.NearestNeighbours(n=5).fit(train).anomaly_score(test), None)}


def ledoit_wolf(case: Case, seed: int) -> dict[str, Scores]:
    return {"ledoit_wolf": (np.sqrt(LedoitWolf().fit(_flat(case.train)).mahalanobis(_flat(case.test))), None)}


def features_pca_16(case: Case, seed: int) -> dict[str, Scores]:
    train, test = (_kinds(images) for images in (case.train, case.test))
    return {"features_pca_16": (methods.PrincipalComponents(n=16).fit(train).anomaly_score(test), None)}


def features_nearest_5(case: Case, seed: int) -> dict[str, Scores]:
    train, test = (_kinds(images) for images in (case.train, case.test))
    return {"features_nearest_5": (methods.NearestNeighbours(n=5).fit(train).anomaly_score(test), None)}


def like_patchcore(case: Case, seed: int) -> dict[str, Scores]:
    """Distance of each position to the nearest of 2,000 random positions of good images; the highest of an image."""
    good, new = _positions(case.train), _positions(case.test)
    rows = good.reshape(-1, good.shape[3])
    kept = np.random.default_rng(seed).permutation(len(rows))[:_MOST_POSITIONS]
    model = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(rows[kept])
    maps = model.kneighbors(new.reshape(-1, new.shape[3]))[0].reshape(new.shape[:3])
    return {"like_patchcore": (maps.max((1, 2)), _enlarged(maps, case.test.shape[2:]))}


def like_padim(case: Case, seed: int) -> dict[str, Scores]:
    """Mahalanobis distance of each position from good images at it, by 100 channels; the highest of an image."""
    good, new = _positions(case.train), _positions(case.test)
    chosen = np.random.default_rng(seed).permutation(good.shape[3])[:100]
    maps = np.empty(new.shape[:3])
    for y in range(good.shape[1]):
        for x in range(good.shape[2]):
            model = LedoitWolf().fit(good[:, y, x, chosen].astype(np.float64))
            maps[:, y, x] = np.sqrt(model.mahalanobis(new[:, y, x, chosen]))
    return {"like_padim": (maps.max((1, 2)), _enlarged(maps, case.test.shape[2:]))}


Method = Callable[[Case, int], dict[str, Scores]]
_PIXELS: tuple[Method, ...] = (pca_16, nearest_5, ledoit_wolf)
ON_TILES: tuple[Method, ...] = (tollad_auto, *_PIXELS, like_patchcore, like_padim)
ON_TEXTURES: tuple[Method, ...] = (*ON_TILES, efficientnet_lite2)
ON_GREY: tuple[Method, ...] = (tollad_auto, gradients_ledoit_wolf, gradients_collapse, *_PIXELS)
ON_COLOUR: tuple[Method, ...] = (tollad_auto, features_pca_16, features_nearest_5, *_PIXELS, efficientnet_lite2)
_BY_SEED = (gradients_collapse, like_patchcore, like_padim)


def _seen_once(shape: Sequence[int]) -> Representation:
    """Return the representation that "auto" chooses, remembering what it has seen: many classes have the same test."""
    chosen = representations.of(representations.choose((shape[0], shape[1], shape[2]))[0])

    def extract(images: NDArray[np.float32]) -> ImageFeatures:
        keys = [(chosen.name, hashlib.sha256(image.tobytes()).hexdigest()) for image in images]
        new = {key: number for number, key in enumerate(keys) if key not in _SEEN}
        if new:
            found = chosen.extract(images[[*new.values()]])
            for number, key in enumerate(new):
                _SEEN[key] = ImageFeatures(
                    {name: rows[number : number + 1] for name, rows in found.whole.items()},
                    {name: maps[number : number + 1] for name, maps in found.positions.items()},
                )
        return gathered([_SEEN[key] for key in keys])

    return replace(chosen, extract=extract)


_SEEN: dict[tuple[str, str], ImageFeatures] = {}


def _flat(images: NDArray[Any]) -> Floats:
    x = torch.as_tensor(np.asarray(images, np.float32) / (255 if images.dtype == np.uint8 else 1))
    x = x[:, None] if x.ndim == 3 else x
    if min(x.shape[2:]) > 32:
        x = torch.nn.functional.interpolate(x, size=(32, 32), mode="bilinear", antialias=True)
    return x.flatten(1).double().numpy()


def _kinds(images: NDArray[Any]) -> Floats:
    """Features of the whole image that the default has for images of many kinds, of length 1: (n, 1280)."""
    return _seen_once(images.shape[1:]).extract(floats_of(images)).whole["kind"].astype(np.float64)


def _positions(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blocks 6, 10 and 14 side by side on the grid of the first: (n, h, w, 256)."""
    seen = representations.of("efficientnet_lite2").extract(images).positions
    maps = [torch.tensor(positions).permute(0, 3, 1, 2) for positions in seen.values()]
    joined = [torch.nn.functional.interpolate(m, size=maps[0].shape[2:], mode="bilinear") for m in maps]
    return torch.cat(joined, 1).permute(0, 2, 3, 1).numpy()


def _enlarged(maps: Floats, size: tuple[int, ...]) -> Floats:
    return torch.nn.functional.interpolate(torch.tensor(maps)[:, None], size=size, mode="bilinear")[:, 0].numpy()


def classes(name: str) -> Iterator[Case]:
    """Yield each class of a data set."""
    data = name.removesuffix("_part")
    n_train, n_test = (None, None) if data == name else _PART
    for number in range(20 if data == "cifar100" else 10):
        task = protocols.one_class(data, number)
        yield Case(f"{name}/{number}", task.train[:n_train], task.test[:n_test], task.test_labels[:n_test])


def folder(name: str, path: Path, normal: str, size: int, *, grey: bool) -> Case:
    """Return a folder with train, test and masks."""
    train, test = (open_images(path / part, size=(size, size), grey=grey) for part in ("train", "test"))
    kinds = np.array(test.columns["folder"])
    masks = np.zeros((len(test), size, size), np.bool_)
    for number in np.flatnonzero(kinds != normal).tolist():
        file = test.columns["file"][number]
        masks[number] = read_mask(str(path / "masks"), str(path / "test" / file), file, (size, size))
    every = (source.take(range(len(source))) for source in (train, test))
    return Case(name, *every, (kinds != normal).astype(int), masks, kinds)


def drawn(seed: int) -> Iterator[Case]:
    """Yield each texture with the defects that a seed draws."""
    for name in textures.TEXTURES:
        with tempfile.TemporaryDirectory() as place:
            textures.write(Path(place), name, seed)
            yield folder(f"texture/{name}", Path(place), "good", textures.SIDE, grey=False)


def measured(case: Case, scores: Floats, maps: Floats | None) -> dict[str, Any]:
    """Return the measures of one method on a case."""
    labels = case.labels
    row: dict[str, Any] = {
        "auroc": metrics.auroc(labels, scores),
        "average_precision": metrics.average_precision(labels, scores),
    }
    if case.masks is not None and maps is not None:
        marked = (labels == 0) | case.masks.any((1, 2))  # one mask of the tiles is empty
        masks, maps = case.masks[marked], maps[marked]
        row |= {"pixel_auroc": metrics.auroc(masks.ravel(), maps.astype(np.float32).ravel())}
        row |= {"pro": metrics.pro(masks, maps), "pro_5": metrics.pro(masks, maps, limit=0.05)}
    if case.kinds is not None:
        good = labels == 0
        row["by_kind"] = {
            kind: metrics.auroc(labels[good | (case.kinds == kind)], scores[good | (case.kinds == kind)])
            for kind in sorted({*case.kinds[~good].tolist()})
        }
    return row


def cases_of(name: str, seed: int, tiles: Path | None) -> Iterator[Case]:
    """Yield the cases of a set."""
    if name in TILES:
        if tiles is None:
            raise SystemExit("tiles need their folder: --tiles FOLDER")
        yield folder(name, tiles, "free", TILES[name], grey=True)
    elif name == "textures":
        yield from drawn(seed)
    else:
        yield from classes(name)


METHODS: Mapping[str, tuple[Method, ...]] = {
    "tiles": ON_TILES,
    "tiles_256": ON_TILES,
    "textures": ON_TEXTURES,
    "mnist": ON_GREY,
    "fashion_mnist": ON_GREY,
    "cifar10_part": ON_COLOUR,
    "cifar100_part": ON_COLOUR,
    "cifar10": ON_COLOUR,
    "cifar100": ON_COLOUR,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", choices=METHODS, default=[*METHODS])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiles", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--methods", nargs="+", help="these only, by the names above")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    done = set()
    if arguments.out.exists():
        rows = map(json.loads, arguments.out.read_text(encoding="utf-8").splitlines())
        done = {(row["case"], row["method"], row["seed"]) for row in rows}
    for name in arguments.sets:
        wanted = [m for m in METHODS[name] if arguments.methods is None or m.__name__ in arguments.methods]
        for seed in arguments.seeds:
            chosen = [m for m in wanted if name == "textures" or seed == arguments.seeds[0] or m in _BY_SEED]
            if not chosen:
                continue
            for case in cases_of(name, seed, arguments.tiles):
                for method in chosen:
                    if (case.name, method.__name__, seed) not in done:
                        run(method, case, seed, arguments.out)


def run(method: Method, case: Case, seed: int, out: Path) -> None:
    """Measure a method on a case, and add its rows to the file, together or not at all."""
    before = time.process_time()
    found = method(case, seed)
    seconds = round(time.process_time() - before, 2)
    lines = []
    for name, (scores, maps) in found.items():
        row = {"case": case.name, "method": name, "seed": seed, **measured(case, scores, maps)}
        row |= {"n_train": len(case.train), "n_test": len(case.test), "cpu_seconds": seconds}
        row |= {"date": datetime.date.today().isoformat(), "cpu": machine.device_name(torch.device("cpu"))}
        lines.append(json.dumps(row | {"versions": machine.versions()}) + "\n")
        print(case.name, name, seed, round(row["auroc"], 4), seconds, flush=True)
    with out.open("a", encoding="utf-8") as file:
        file.write("".join(lines))


if __name__ == "__main__":
    main()
