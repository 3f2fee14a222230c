"""Folders of images and IDX files on the command line, from fit to calibrate, and what is said of bad ones."""

from __future__ import annotations

import json
import re
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import done, refused, rows_of, tollad
from PIL import Image

from tollad import TollDetector, metrics
from tollad.io.images import open_images

QUICK = ("--network=mlp", "--hidden=8", "--latent-dim=2", "--steps=30", "--quiet")
GOOD = ("--label", "folder", "--normal", "good")


def save(path: Path, pixels: np.ndarray[Any, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def draw(n: int, seed: int, *, scratched: bool = False, shape: tuple[int, ...] = (9, 8)) -> np.ndarray[Any, Any]:
    """Draw dark images, with a bright line across them if they are scratched: (n, *shape)."""
    images = np.random.default_rng(seed).integers(0, 60, (n, *shape), dtype=np.uint8)
    if scratched:
        images[:, 4] = 255
    return images


def write_folder(folder: Path, shape: tuple[int, ...] = (9, 8), seed: int = 0) -> Path:
    """Forty good images, of which one lies in a folder within the folder, and ten scratched ones."""
    for kind, n in (("good", 40), ("scratched", 10)):
        for number, image in enumerate(draw(n, seed + n, scratched=kind == "scratched", shape=shape)):
            save(folder / kind / ("deep" if (kind, number) == ("good", 7) else ".") / f"{number:02}.png", image)
    return folder


def write_idx(folder: Path, images: np.ndarray[Any, Any], labels: list[int]) -> Path:
    for name, values in (("images-idx3", images), ("labels-idx1", np.array(labels, np.uint8))):
        header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
        (folder / f"{name}-ubyte").write_bytes(header + values.tobytes())
    return folder / "images-idx3-ubyte"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of grey images, and a model of the good ones; the same in colour."""
    home = tmp_path_factory.mktemp("home")
    write_folder(home / "photos")
    done("fit", home / "photos", "-o", home / "m.tollad", *GOOD, *QUICK)
    write_folder(home / "coloured", shape=(9, 8, 3))
    done("fit", home / "coloured", "-o", home / "coloured.tollad", *GOOD, *QUICK)
    return home


class TestFit:
    def test_is_what_the_detector_does(self, home: Path) -> None:
        source = open_images(home / "photos")
        rows = source.take([row for row, kind in enumerate(source.columns["folder"]) if kind == "good"])
        assert rows.shape == (40, 1, 9, 8)
        detector = TollDetector(network="mlp", hidden=(8,), latent_dim=2, steps=30, random_state=0).fit(rows)
        loaded = TollDetector.load(home / "m.tollad")
        np.testing.assert_array_equal(loaded.anomaly_score(rows), detector.anomaly_score(rows))
        assert loaded.source_.images == {"size": None, "grey": False, "colour": False, "aspect": "stretch"}
        shown = done("info", home / "m.tollad").stdout
        assert "photos" in shown
        assert "40 of 50 (folder is good)" in shown
        assert "shape (1, 9, 8)" in shown

    def test_without_a_label_all_images_are_normal(self, home: Path, tmp_path: Path) -> None:
        result = json.loads(done("fit", home / "photos", "-o", tmp_path / "m", "--json", *QUICK).stdout)
        assert (result["rows_used"], result["shape"]) == (50, [1, 9, 8])

    def test_a_checkpoint_is_that_of_the_images(self, home: Path, tmp_path: Path) -> None:
        run = ("fit", home / "photos", *QUICK, "--checkpoint", tmp_path / "c", "--force", "-o", tmp_path / "m")
        done(*run)
        done(*run)
        assert "checkpoint" in refused(*run, *GOOD)

    @pytest.mark.parametrize(("size", "shape"), [("10", [1, 10, 10]), ("8x12", [1, 8, 12])])
    def test_size_holds_for_all_later_images(self, home: Path, tmp_path: Path, size: str, shape: list[int]) -> None:
        result = done("fit", home / "photos", "-o", tmp_path / "m", *GOOD, *QUICK, "--size", size, "--json")
        assert json.loads(result.stdout)["shape"] == shape
        save(tmp_path / "new" / "a.png", draw(1, 0, shape=(30, 20))[0])
        save(tmp_path / "new" / "b.png", draw(1, 0, scratched=True, shape=(12, 12))[0])
        first, second = rows_of(done("score", tmp_path / "m", tmp_path / "new").stdout)
        assert float(second["score"]) > float(first["score"])

    def test_grey_holds_for_all_later_images(self, home: Path, tmp_path: Path) -> None:
        save(tmp_path / "mixed" / "a.png", draw(1, 0)[0])
        save(tmp_path / "mixed" / "b.png", draw(1, 0, shape=(9, 8, 3))[0])
        message = refused("fit", tmp_path / "mixed", "-o", tmp_path / "m", *QUICK)
        assert "turn all into grey ones with --grey" in message
        done("fit", home / "coloured", "-o", tmp_path / "m", *GOOD, *QUICK, "--grey")
        for folder in ("coloured", "photos"):
            assert len(rows_of(done("score", tmp_path / "m", home / folder).stdout)) == 50

    def test_colour_holds_for_all_later_images(self, home: Path, tmp_path: Path) -> None:
        done("fit", home / "photos", "-o", tmp_path / "m", *GOOD, *QUICK, "--colour", "--size", "10", "--aspect", "pad")
        assert TollDetector.load(tmp_path / "m").input_shape_ == (3, 10, 10)
        for folder in ("coloured", "photos"):
            assert len(rows_of(done("score", tmp_path / "m", home / folder).stdout)) == 50
        message = refused("fit", home / "photos", "-o", tmp_path / "n", "--aspect", "pad")
        assert "--aspect pad says how images come to a size; give --size HEIGHTxWIDTH, too" in message

    @pytest.mark.parametrize("size", ["0", "-3", "8x", "x8", "8x8x8", "big", "1.5"])
    def test_what_is_no_size(self, home: Path, tmp_path: Path, size: str) -> None:
        result = tollad("fit", home / "photos", "-o", tmp_path / "m", f"--size={size}")
        assert result.exit_code == 2
        assert "--size" in result.stderr

    def test_what_is_for_tables_and_what_is_for_images(self, home: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.zeros((3, 9, 8)))
        (tmp_path / "x.csv").write_text("a,b\n1,2\n")
        out = ("-o", tmp_path / "m")
        for options in (("--drop", "file"), ("--column", "file=category"), ("--key", "x")):
            assert "leave out the key, columns to drop" in refused("fit", home / "photos", *out, *options)
        for path in (tmp_path / "x.npy", tmp_path / "x.csv"):
            for options in (("--size", "8"), ("--grey",)):
                assert "leave out size, grey, colour and aspect" in refused("fit", path, *out, *options)

    def test_labels_that_are_none(self, home: Path, tmp_path: Path) -> None:
        run = ("fit", home / "photos", "-o", tmp_path / "m", "--normal", "fine", "--label")
        assert "has no column 'folders'; did you mean 'folder'?" in refused(*run, "folders")
        assert "no row is labelled 'fine'; the labels are 'good', 'scratched'" in refused(*run, "folder")


class TestScore:
    def test_names_the_files(self, home: Path) -> None:
        written = rows_of(done("score", home / "m.tollad", home / "photos").stdout)
        source = open_images(home / "photos")
        expected = TollDetector.load(home / "m.tollad").anomaly_score(source.take(range(50)))
        assert list(written[0]) == ["row", "file", "score", "verdict"]
        assert [row["file"] for row in written] == source.columns["file"]
        assert [float(row["score"]) for row in written] == expected.tolist()
        assert "good/deep/07.png" in source.columns["file"]

    def test_or_what_else_is_asked_for(self, home: Path) -> None:
        written = rows_of(done("score", home / "m.tollad", home / "photos", "--id", "folder").stdout)
        assert [row["folder"] for row in written] == ["good"] * 40 + ["scratched"] * 10
        assert "has no column 'name'" in refused("score", home / "m.tollad", home / "photos", "--id", "name")

    @pytest.mark.parametrize("block", [1, 7, 49])
    def test_does_not_depend_on_blocks(self, home: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = rows_of(done("score", home / "m.tollad", home / "photos").stdout)
        monkeypatch.setattr("tollad.io.rows._BLOCK_VALUES", block * 72)
        parts = rows_of(done("score", home / "m.tollad", home / "photos").stdout)
        assert [row["file"] for row in parts] == [row["file"] for row in whole]
        scores = [[float(row["score"]) for row in rows] for rows in (parts, whole)]
        np.testing.assert_allclose(*scores, rtol=1e-12)  # sums of other lengths round differently

    @pytest.mark.parametrize(("model", "folder"), [("m.tollad", "photos"), ("coloured.tollad", "coloured")])
    def test_draws_the_most_anomalous_images(
        self, home: Path, tmp_path: Path, model: str, folder: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tollad.io.rows._BLOCK_VALUES", 7 * 72)
        run = ("score", home / model, home / folder, "--plot", tmp_path / "p.svg")
        written = rows_of(done(*run).stdout)
        highest = sorted(written, key=lambda row: -float(row["score"]))[:6]
        shown = re.findall("<!-- (.*?) -->", (tmp_path / "p.svg").read_text("utf-8"), re.DOTALL)
        texts = [text for row in highest for text in (row["file"], f"score {float(row['score']):.3g}")]
        assert [text for text in "\n".join(shown).split("\n") if text in texts] == texts
        assert {"seen", "expected"} <= {*shown}

    def test_of_an_array_they_are_numbered(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.concatenate([draw(20, 0), draw(1, 1, scratched=True)])[:, None] / 255)
        done("fit", tmp_path / "x.npy", "-o", tmp_path / "m", *QUICK)
        done("score", tmp_path / "m", tmp_path / "x.npy", "--plot", tmp_path / "p.svg", "-o", tmp_path / "s.csv")
        assert "<!-- row 21 -->" in (tmp_path / "p.svg").read_text("utf-8")

    def test_images_unlike_those_of_the_fit(self, home: Path, tmp_path: Path) -> None:
        def scored(model: str, folder: Path) -> str:
            return refused("score", home / model, folder)

        message = scored("m.tollad", home / "coloured")
        assert "holds colour images of 9x8 pixels, but the model was fitted on grey images of 9x8 pixels" in message
        assert "fit again with a size, or as grey or as colour images" in message
        assert "but the model was fitted on colour images of 9x8" in scored("coloured.tollad", home / "photos")
        save(tmp_path / "large" / "a.png", draw(1, 0, shape=(10, 8))[0])
        assert "holds grey images of 10x8 pixels" in scored("m.tollad", tmp_path / "large")

    def test_pixels_of_another_scale(self, home: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "bytes.npy", draw(10, 0)[:, None])
        message = refused("score", home / "m.tollad", tmp_path / "bytes.npy")
        assert (
            "bytes.npy: holds uint8 values, but the model was fitted on images, whose pixels are read as 0" in message
        )
        np.save(tmp_path / "floats.npy", draw(10, 0)[:, None] / 255)
        assert len(rows_of(done("score", home / "m.tollad", tmp_path / "floats.npy").stdout)) == 10
        done("fit", tmp_path / "bytes.npy", "-o", tmp_path / "m", *QUICK)
        assert "the model was not fitted on such" in refused("score", tmp_path / "m", home / "photos")

    def test_a_table_is_no_image(self, home: Path, tmp_path: Path) -> None:
        (tmp_path / "x.csv").write_text("a,b\n1,2\n")
        assert "is a table, but the model was fitted on" in refused("score", home / "m.tollad", tmp_path / "x.csv")

    def test_a_folder_that_is_not_there(self, home: Path, tmp_path: Path) -> None:
        assert "nowhere: there is no such file" in refused("score", home / "m.tollad", tmp_path / "nowhere")

    def test_images_that_cannot_be_read_are_skipped(self, home: Path, tmp_path: Path) -> None:
        new = tmp_path / "new"
        for number, image in enumerate(draw(5, 0)):
            save(new / f"{number}.png", image)
        all_of_them = rows_of(done("score", home / "m.tollad", new).stdout)
        (new / "1.png").write_bytes(b"no image")
        (new / "3.png").write_bytes((new / "3.png").read_bytes()[:60])
        run = ("score", home / "m.tollad", new, "-o", tmp_path / "s.csv", "--on-error", "skip", "--force")
        assert "Warning: 2 images could not be read; see" in done(*run).stderr
        assert rows_of((tmp_path / "s.csv").read_text()) == [all_of_them[row] for row in (0, 2, 4)]
        listed = rows_of((tmp_path / "s.skipped.csv").read_text())
        assert [(row["row"], row["text"]) for row in listed] == [("2", "1.png"), ("4", "3.png")]
        for number in "024":
            (new / f"{number}.png").write_bytes((new / f"{number}.png").read_bytes()[:60])
        assert "none of its 4 images can be read; check that they are images" in refused(*run)

    def test_arrays_are_not_skipped(self, home: Path, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", draw(5, 0)[:, None] / 255)
        result = tollad("score", home / "m.tollad", tmp_path / "x.npy", "-o", tmp_path / "s.csv", "--on-error", "skip")
        assert result.exit_code == 2
        assert "--on-error skip is for rows of tables and for folders of images" in result.stderr

    def test_damage_leaves_no_file(self, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tollad.io.rows._BLOCK_VALUES", 2 * 72)
        for number, image in enumerate(draw(5, 0)):
            save(tmp_path / "new" / f"{number}.png", image)
        last = tmp_path / "new" / "4.png"
        last.write_bytes(last.read_bytes()[:60])
        message = refused("score", home / "m.tollad", tmp_path / "new", "-o", tmp_path / "s.csv")
        assert f"{last}: is damaged or cut short" in message
        assert not (tmp_path / "s.csv").exists()

    def test_without_pillow(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "PIL", None)
        assert "pip install 'tollad[images]'" in refused("score", home / "m.tollad", home / "photos")


class TestEvaluateAndCalibrate:
    def test_folders_are_labels(self, home: Path, tmp_path: Path) -> None:
        run = ("evaluate", home / "m.tollad", home / "photos", *GOOD, "--json", "--plot", tmp_path / "p.png")
        result = json.loads(done(*run).stdout)
        source = open_images(home / "photos")
        scores = TollDetector.load(home / "m.tollad").anomaly_score(source.take(range(50)))
        assert result["auroc"] == metrics.auroc([kind != "good" for kind in source.columns["folder"]], scores)
        assert (result["n_normal"], result["n_anomalies"]) == (40, 10)
        assert result["auroc"] > 0.9
        assert "every row is normal" in refused("evaluate", home / "m.tollad", home / "photos" / "good",
                                                "--label", "folder", "--normal", ".", "--normal", "deep")  # fmt: skip

    def test_calibration_on_fresh_images(self, home: Path, tmp_path: Path) -> None:
        write_folder(tmp_path / "fresh", seed=500)
        calibrated = tmp_path / "c.tollad"
        done("calibrate", home / "m.tollad", tmp_path / "fresh", "-o", calibrated, "--false-alarm-rate", "0.1", *GOOD)
        assert len(TollDetector.load(calibrated).calibration_scores_) == 40
        written = rows_of(done("score", calibrated, home / "photos", "--fdr", "0.2", "--drift").stdout)
        assert [row["verdict"] for row in written[40:]] == ["anomaly"] * 10

    def test_idx_files_without_labels_say_where_to_put_them(self, tmp_path: Path) -> None:
        path = write_idx(tmp_path, draw(5, 0), [8] * 5)
        (tmp_path / "labels-idx1-ubyte").unlink()
        message = refused("fit", path, "-o", tmp_path / "m", "--label", "label", "--normal", "8")
        assert f"{path}: has no column 'label', since no file of labels lies beside it; put it there" in message

    def test_a_folder_that_is_not_there_is_warned_of(self, home: Path, tmp_path: Path) -> None:
        run = ("fit", home / "photos", "-o", tmp_path / "m", *GOOD, "--normal", "great", *QUICK)
        assert "column 'folder': no row is labelled 'great'; the labels are 'good', 'scratched'" in done(*run).stderr

    def test_idx_files_have_labels_beside_them(self, tmp_path: Path) -> None:
        images = np.concatenate([draw(30, 0), draw(5, 1, scratched=True)])
        path = write_idx(tmp_path, images, [8] * 30 + [1] * 5)
        labels = ("--label", "label", "--normal", "8")
        done("fit", path, "-o", tmp_path / "m", *labels, *QUICK)
        assert json.loads(done("evaluate", tmp_path / "m", path, *labels, "--json").stdout)["n_anomalies"] == 5
        assert list(rows_of(done("score", tmp_path / "m", path).stdout)[0]) == ["row", "score", "verdict"]
        written = rows_of(done("score", tmp_path / "m", path, "--id", "label").stdout)
        assert [row["label"] for row in written] == ["8"] * 30 + ["1"] * 5
        # The same images as files have the same scores.
        for number, image in enumerate(images):
            save(tmp_path / "folder" / f"{number:02}.png", image)
        same = rows_of(done("score", tmp_path / "m", tmp_path / "folder").stdout)
        assert [row["score"] for row in same] == [row["score"] for row in written]
