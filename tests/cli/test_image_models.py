"""Models of images on the command line: fit, evaluate with masks, score with maps, and what is said of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import done, refused, rows_of, tollad
from PIL import Image

GOOD = ("--label", "folder", "--normal", "good")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stripes of 28 x 28 pixels, some with a square on them, the masks of the squares, and a model of the good ones."""
    home = tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(0)
    for kind, n in (("good", 40), ("square", 6)):
        for number in range(n):
            image = np.clip(
                120 + 60 * np.sin(np.arange(28) * 0.8 + rng.uniform(0, 6)) + rng.normal(0, 9, (28, 28)), 0, 255
            )
            if kind == "square":
                image[4:14, 4:14] = 255
                mask = np.zeros((28, 28), np.uint8)
                mask[4:14, 4:14] = 255
                save(home / "masks" / kind / f"{number:02}.png", mask)
            save(home / "photos" / kind / f"{number:02}.png", image.astype(np.uint8))
    done("fit", home / "photos", "-o", home / "m.tollad", *GOOD)
    return home


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_fit_says_what_was_chosen(home: Path, tmp_path: Path) -> None:
    result = json.loads(done("fit", home / "photos", "-o", tmp_path / "m", "--json", *GOOD).stdout)
    assert (result["representation"], result["head"]) == ("gradients", "nearest")
    assert (result["rows_used"], result["rows_read"]) == (40, 46)
    shown = done("info", tmp_path / "m").stdout
    assert "gradients: small grey images are best seen by their gradients" in shown
    assert "40 of 46, grey, 28x28 pixels" in shown


def test_options_of_the_network_ask_for_pixels(home: Path, tmp_path: Path) -> None:
    quick = ("--network=mlp", "--hidden=8", "--latent-dim=2", "--steps=30", "--quiet", "--json")
    assert json.loads(done("fit", home / "photos", "-o", tmp_path / "m", *quick).stdout)["steps"] == 30
    wrong = tollad("fit", home / "photos", "-o", tmp_path / "n", "--steps=30", "--representation=gradients")
    assert wrong.exit_code == 2
    assert "--steps is for --representation pixels" in wrong.stderr


def test_evaluate_measures_kinds_and_maps(home: Path) -> None:
    result = json.loads(
        done("evaluate", home / "m.tollad", home / "photos", *GOOD, "--masks", home / "masks", "--json").stdout
    )
    assert result["auroc"] == 1
    assert result["by_kind"]["square"]["auroc"] == 1
    assert result["by_kind"]["square"]["n"] == 6
    assert result["pixel_auroc"] > 0.8
    assert 0 <= result["pro_5"] <= result["pro"] <= 1
    text = done("evaluate", home / "m.tollad", home / "photos", *GOOD).stdout
    assert "square: AUROC 1.000 (6 images)" in text


def test_score_writes_maps(home: Path, tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    done(
        "score",
        home / "m.tollad",
        home / "photos",
        "-o",
        tmp_path / "s.csv",
        "--maps",
        maps,
        "--plot",
        tmp_path / "p.png",
    )
    assert len(rows_of((tmp_path / "s.csv").read_text())) == 46
    raw = np.asarray(Image.open(maps / "square" / "03.map.png"))
    assert (raw.dtype, raw.shape) == (np.uint16, (28, 28))
    assert raw[4:14, 4:14].mean() > 2 * raw[18:, 18:].mean()
    assert np.asarray(Image.open(maps / "square" / "03.heat.png")).shape == (28, 28, 3)
    assert (tmp_path / "p.png").exists()


def test_maps_do_not_lie_among_the_images(home: Path, tmp_path: Path) -> None:
    for folder in ("photos", "photos/maps"):
        args = ("score", home / "m.tollad", home / "photos", "-o", tmp_path / "s.csv", "--maps", home / folder)
        result = tollad(*args)
        assert result.exit_code == 2
        assert "lies in the folder of images" in result.stderr
        assert not list((home / "photos").rglob("*.map.png"))


def test_a_single_image_is_told_where_it_belongs(home: Path) -> None:
    message = refused("score", home / "m.tollad", home / "photos" / "square" / "03.png")
    assert "03.png: unknown kind of file; give the folder that the image lies in" in message


def test_calibrate(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.tollad"
    done("calibrate", home / "m.tollad", home / "photos", *GOOD, "-o", out, "--false-alarm-rate", "0.1")
    lines = rows_of(done("score", out, home / "photos", "--fdr", "0.2").stdout)
    assert [line["verdict"] for line in lines[-6:]] == ["anomaly"] * 6


class TestMasks:
    def evaluate(self, home: Path, masks: Path) -> str:
        return refused("evaluate", home / "m.tollad", home / "photos", *GOOD, "--masks", masks)

    def test_missing(self, home: Path, tmp_path: Path) -> None:
        assert "00.png: the mask of" in self.evaluate(home, tmp_path)

    def test_of_another_size(self, home: Path, tmp_path: Path) -> None:
        save(tmp_path / "square" / "00.png", np.ones((20, 28), np.uint8))
        assert "is 20x28 pixels (height x width), and its image is 28x28" in self.evaluate(home, tmp_path)

    def test_without_a_defect(self, home: Path, tmp_path: Path) -> None:
        for number in range(6):
            save(tmp_path / "square" / f"{number:02}.png", np.full((28, 28), number, np.uint8))
        result = done("evaluate", home / "m.tollad", home / "photos", *GOOD, "--masks", tmp_path)
        assert "00.png: shows no defect; its image counts as a whole, and not among the pixels" in result.stderr

    def test_none_with_a_defect(self, home: Path, tmp_path: Path) -> None:
        for number in range(6):
            save(tmp_path / "square" / f"{number:02}.png", np.zeros((28, 28), np.uint8))
        result = tollad("evaluate", home / "m.tollad", home / "photos", *GOOD, "--masks", tmp_path)
        assert result.stderr.splitlines()[-1].startswith(f"Error: {tmp_path}: no mask shows a defect")

    def test_in_no_folder(self, home: Path, tmp_path: Path) -> None:
        assert "none: is no folder; masks lie in one" in self.evaluate(home, tmp_path / "none")


def test_too_few_images(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "1.png", np.zeros((28, 28), np.uint8))
    assert "needs 5 good images or more; there are 1" in refused("fit", tmp_path / "photos", "-o", tmp_path / "m")
