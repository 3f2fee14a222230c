"""Images as users have them: what their pixels are, in which order they come, and one sentence for what is wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import COLOUR, GREY, cut, pixels, refused, save, write_idx
from PIL import Image

from tollad.io.images import is_images, open_images
from tollad.io.pictures import ENDINGS, Shaping


class TestFolder:
    def test_images_come_in_the_order_of_their_paths_with_their_folder(self, tmp_path: Path) -> None:
        save(tmp_path, b=GREY, a__10=GREY // 2, a__9__x=GREY // 4, c=GREY // 3)
        (tmp_path / ".hidden").mkdir()
        for name in (".DS_Store", "Thumbs.db", ".hidden/x.png", "a/desktop.ini"):
            (tmp_path / name).write_text("no image")
        source = open_images(tmp_path)
        assert source.columns == {
            "file": ["a/10.png", "a/9/x.png", "b.png", "c.png"],
            "folder": ["a", "a", ".", "."],
        }
        expected = np.stack([GREY // 2, GREY // 4, GREY, GREY // 3])[:, None] / np.float32(255)
        assert len(source) == 4
        assert source.shape == (1, 3, 4)
        np.testing.assert_array_equal(pixels(source), expected)
        assert pixels(source).dtype == np.float32
        np.testing.assert_array_equal(source.take([2, 0]), expected[[2, 0]])

    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    def test_blocks_hold_all_images_in_order(self, tmp_path: Path, size: int) -> None:
        source = open_images(save(tmp_path, a=GREY, b=GREY // 2, c=GREY // 3))
        blocks = list(source.blocks(size))
        assert [start for start, _ in blocks] == list(range(0, 3, size))
        np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), pixels(source))

    def test_only_the_images_asked_for_are_decoded(self, tmp_path: Path) -> None:
        save(tmp_path, a=GREY, b=GREY)
        content = (tmp_path / "b.png").read_bytes()
        (tmp_path / "b.png").write_bytes(content[:-30])
        source = open_images(tmp_path)
        assert next(source.blocks(1))[0] == 0
        with pytest.raises(ValueError, match=r"b\.png: is damaged or cut short .*; replace or remove it"):
            source.take([1])

    def test_a_link_to_a_folder_is_a_folder(self, tmp_path: Path) -> None:
        save(tmp_path, there__b=GREY, here__a=GREY)
        os.symlink(tmp_path / "there", tmp_path / "here" / "linked")
        assert open_images(tmp_path / "here").columns["file"] == ["a.png", "linked/b.png"]

    @pytest.mark.parametrize("target", ["..", "../..", "."])
    def test_links_that_lead_back_are_refused(self, tmp_path: Path, target: str) -> None:
        save(tmp_path, here__deep__a=GREY)
        os.symlink(target, tmp_path / "here" / "deep" / "up")
        assert "deep/up: is a link to a folder that it lies in; remove the link" in refused(tmp_path / "here")

    def test_other_files_are_passed_over_with_one_count(self, tmp_path: Path) -> None:
        save(tmp_path, a=GREY)
        for name in ("README.txt", "b.json"):
            (tmp_path / name).write_text("no image")
        with pytest.warns(UserWarning, match=r"2 files that are no images, .* passed over: 'README.txt', 'b.json'"):
            assert open_images(tmp_path).columns["file"] == ["a.png"]

    def test_images_that_cannot_be_read_are_handed_over(self, tmp_path: Path) -> None:
        save(tmp_path, a=GREY, b=GREY, c=GREY, d=GREY // 2)
        (tmp_path / "a.png").write_bytes(b"no image")
        (tmp_path / "c.png").write_bytes((tmp_path / "c.png").read_bytes()[:-30])
        left: list[Any] = []
        source = open_images(tmp_path, reject=lambda *row: left.append(row))
        assert source.numbers.tolist() == [1, 2, 3]
        kept, images = source.take_readable(range(3), lambda *row: left.append(row))
        assert kept == [0, 2]
        np.testing.assert_array_equal(images, source.take([0, 2]))
        assert [(row[0], row[3]) for row in left] == [(0, "a.png"), (2, "c.png")]
        assert "is no image, though its name says so" in left[0][2]
        assert "is damaged or cut short" in left[1][2]
        for name in "bd":
            (tmp_path / f"{name}.png").write_bytes(b"no image")
        (tmp_path / "c.png").write_bytes(b"no image")
        with pytest.raises(ValueError, match="none of its 4 images can be read; check"):
            open_images(tmp_path, reject=lambda *row: None)

    def test_a_folder_may_change_meanwhile(self, tmp_path: Path) -> None:
        source = open_images(save(tmp_path, a=GREY, b=GREY))
        save(tmp_path, a=GREY.T)
        (tmp_path / "b.png").unlink()
        with pytest.raises(ValueError, match=r"a\.png: has changed to 4x3 pixels while the folder was read; read it"):
            source.take([0])
        with pytest.raises(OSError, match=r"b\.png: cannot be read \(No such file or directory\)"):
            source.take([1])

    def test_a_link_to_an_image_is_an_image(self, tmp_path: Path) -> None:
        save(tmp_path / "there", a=GREY)
        (tmp_path / "here").mkdir()
        os.symlink(tmp_path / "there" / "a.png", tmp_path / "here" / "b.png")
        assert open_images(tmp_path / "here").columns["file"] == ["b.png"]


class TestPixels:
    def values(self, folder: Path, image: Any, **how: Any) -> np.ndarray[Any, Any]:
        return pixels(open_images(save(folder, x=image), **how))[0]

    def test_channels_come_first(self, tmp_path: Path) -> None:
        np.testing.assert_array_equal(self.values(tmp_path, COLOUR), COLOUR.transpose(2, 0, 1) / np.float32(255))

    def test_sixteen_bits(self, tmp_path: Path) -> None:
        deep = np.array([[0, 1, 256], [30000, 65534, 65535]], np.uint16)
        np.testing.assert_array_equal(self.values(tmp_path, deep)[0], deep / np.float32(65535))

    def test_sixteen_bits_of_pgm(self, tmp_path: Path) -> None:
        (tmp_path / "x.pgm").write_bytes(b"P5 2 1 65535\n" + bytes([0, 1, 255, 255]))
        np.testing.assert_array_equal(pixels(open_images(tmp_path))[0, 0], [[np.float32(1) / 65535, 1]])

    def test_sixteen_bits_of_tiff(self, tmp_path: Path) -> None:
        deep = np.array([[0, 1, 256], [30000, 65534, 65535]], np.uint16)
        Image.fromarray(deep).save(tmp_path / "x.tif")
        np.testing.assert_array_equal(pixels(open_images(tmp_path))[0, 0], deep / np.float32(65535))

    def test_floats_of_tiff(self, tmp_path: Path) -> None:
        values = np.array([[0, 0.25], [0.5, 1]], np.float32)
        Image.fromarray(values).save(tmp_path / "x.tiff")
        np.testing.assert_array_equal(pixels(open_images(tmp_path))[0, 0], values)

    def test_one_bit(self, tmp_path: Path) -> None:
        assert self.values(tmp_path, Image.fromarray(GREY > 100)).tolist() == [(GREY > 100).astype(int).tolist()]

    def test_a_palette_is_applied(self, tmp_path: Path) -> None:
        image = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
        image.putpalette([255, 0, 0, 0, 0, 255])
        assert self.values(tmp_path, image).tolist() == [[[1, 0]], [[0, 0]], [[0, 1]]]

    def test_what_is_transparent_is_white(self, tmp_path: Path) -> None:
        rgba = np.array([[[0, 51, 102, 255], [0, 51, 102, 0]]], np.uint8)
        np.testing.assert_allclose(self.values(tmp_path, rgba)[:, 0], [[0, 1], [0.2, 1], [0.4, 1]], atol=1e-6)
        grey = Image.fromarray(np.array([[[51, 255], [51, 0]]], np.uint8))
        np.testing.assert_allclose(self.values(tmp_path, grey)[0], [[0.2, 1]], atol=1e-6)

    @pytest.mark.parametrize("mode", ["CMYK", "L", "RGB"])
    def test_jpeg(self, tmp_path: Path, mode: str) -> None:
        Image.new("RGB", (16, 9), (204, 204, 204)).convert(mode).save(tmp_path / "x.JPG", quality=95)
        read = pixels(open_images(tmp_path))
        assert read.shape == (1, 1 if mode == "L" else 3, 9, 16)
        np.testing.assert_allclose(read, 0.8, atol=0.01)

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_every_known_ending(self, tmp_path: Path, ending: str) -> None:
        colourful = ending in (".webp", ".ppm", ".avif")
        image = Image.new("RGB" if colourful else "L", (9, 8), (102, 102, 102) if colourful else 102)
        image.save(tmp_path / f"x{ending}", **({"lossless": True} if ending == ".webp" else {}))
        read = pixels(open_images(tmp_path))
        assert read.shape == (1, 3 if colourful else 1, 8, 9)
        np.testing.assert_allclose(read, 0.4, atol=0.02)

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("ending", [".jpg", ".png"])
    def test_a_camera_may_lie_on_its_side(self, tmp_path: Path, orientation: int, ending: str) -> None:
        """What EXIF asks for, in its own words: where the first row and the first column of the file belong."""
        upright = np.kron(np.array([[0, 80, 160], [200, 120, 40]], np.uint8), np.ones((16, 16), np.uint8))
        stored = {
            1: upright,
            2: upright[:, ::-1],
            3: upright[::-1, ::-1],
            4: upright[::-1],
            5: upright.T,
            6: upright.T[::-1],
            7: upright.T[::-1, ::-1],
            8: upright.T[:, ::-1],
        }[orientation]
        exif = Image.Exif()
        exif[274] = orientation
        image = Image.fromarray(np.ascontiguousarray(stored))
        image.save(tmp_path / f"x{ending}", exif=exif, quality=95)
        source = open_images(tmp_path)
        assert source.shape == (1, 32, 48)
        np.testing.assert_allclose(255 * pixels(source)[0, 0], upright, atol=6)

    def test_grey_is_brightness(self, tmp_path: Path) -> None:
        rgb = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]], np.uint8)
        brightness = self.values(tmp_path, rgb, grey=True)
        np.testing.assert_allclose(brightness, [[[0.299, 0.587, 0.114, 9 / 255]]], atol=0.003)

    def test_grey_images_may_then_be_mixed_with_colour(self, tmp_path: Path) -> None:
        assert open_images(save(tmp_path, a=GREY, b=COLOUR), grey=True).shape == (1, 3, 4)

    def test_grey_images_may_be_taken_for_colour_ones(self, tmp_path: Path) -> None:
        read = pixels(open_images(save(tmp_path, a=GREY, b=COLOUR), colour=True))
        np.testing.assert_array_equal(read[0], np.repeat(GREY[None], 3, 0) / np.float32(255))
        np.testing.assert_array_equal(read[1], COLOUR.transpose(2, 0, 1) / np.float32(255))
        path = write_idx(tmp_path / "images.idx", GREY[None])
        np.testing.assert_array_equal(pixels(open_images(path, colour=True))[0], read[0])

    def test_a_photo_with_a_preview_is_its_photo(self, tmp_path: Path) -> None:
        photo = Image.new("L", (16, 8), 200)
        photo.save(tmp_path / "x.jpg", format="MPO", save_all=True, append_images=[Image.new("L", (4, 4))])
        assert open_images(tmp_path).shape == (1, 8, 16)

    @pytest.mark.parametrize("ending", [".gif", ".png"])
    def test_a_palette_of_greys_is_grey(self, tmp_path: Path, ending: str) -> None:
        image = Image.fromarray(GREY).convert("P")
        image.save(tmp_path / f"x{ending}")
        np.testing.assert_allclose(pixels(open_images(tmp_path))[0, 0], GREY / 255, atol=1e-6)


class TestSize:
    def test_is_height_and_width_and_keeps_grey_levels(self, tmp_path: Path) -> None:
        ramp = np.tile(np.arange(64, dtype=np.uint8), (32, 1))
        read = pixels(open_images(save(tmp_path, x=ramp, y=ramp[:10], z=GREY), size=(8, 16)))
        assert read.shape == (3, 1, 8, 16)
        middles = np.arange(1.5, 64, 4)[1:-1] / 255
        np.testing.assert_allclose(read[:2, 0, :, 1:-1], np.broadcast_to(middles, (2, 8, 14)), atol=1e-3)

    def test_fine_texture_becomes_grey_and_edges_do_not_overshoot(self, tmp_path: Path) -> None:
        stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
        edge = np.repeat(np.array([[0, 255]], np.uint8), 32, axis=1).repeat(64, axis=0)
        small = pixels(open_images(save(tmp_path, a=stripes, b=edge), size=(9, 9)))
        assert np.abs(small[0] - 0.5).max() < 0.06
        assert small.min() >= 0
        assert small.max() <= 1

    @pytest.mark.parametrize("upright", [True, False])
    def test_proportions_may_be_kept(self, tmp_path: Path, upright: bool) -> None:
        """A square in an oblong stays a square: with the mean on both sides, or with both sides cut off."""
        image = np.zeros((40, 80), np.uint8)
        image[10:30, 30:50] = 240
        folder = save(tmp_path, x=image.T if upright else image)
        padded, cropped = (pixels(open_images(folder, size=(20, 20), aspect=how))[0, 0] for how in ("pad", "crop"))
        padded, cropped = (one.T if upright else one for one in (padded, cropped))
        np.testing.assert_allclose(padded[[0, 4, 15, 19]], image.mean() / 255, atol=1e-4)
        assert (padded[8:12, 8:12] > 0.9).all()
        assert (padded[5:7, 9:11] < 0.1).all()
        assert (cropped[6:14, 6:14] > 0.9).all()
        assert (cropped[:4] < 0.1).all()
        assert (cropped[:, :4] < 0.1).all()

    def test_what_is_no_form(self) -> None:
        for wrong, message in (
            ({"size": (0, 3)}, "size is height and width, both 1 or more"),
            ({"grey": True, "colour": True}, "leave out grey=True or colour=True"),
            ({"aspect": "pad"}, "aspect='pad' says how images come to a size; give size="),
            ({"size": (3, 3), "aspect": "fill"}, "aspect must be one of stretch, pad, crop, not 'fill'"),
        ):
            with pytest.raises(ValueError, match=re.escape(message)):
                Shaping(**wrong)  # type: ignore[arg-type]

    def test_of_sixteen_bits_and_of_idx_files(self, tmp_path: Path) -> None:
        deep = np.full((4, 4), 13107, np.uint16)
        np.testing.assert_allclose(pixels(open_images(save(tmp_path, x=deep), size=(2, 3))), 0.2, atol=1e-6)
        path = write_idx(tmp_path / "images-idx3-ubyte", np.full((2, 4, 4), 51, np.uint8))
        np.testing.assert_allclose(pixels(open_images(path, size=(8, 8))), 0.2, atol=1e-6)

    def test_the_same_size_changes_nothing(self, tmp_path: Path) -> None:
        folder = save(tmp_path, x=COLOUR)
        np.testing.assert_array_equal(pixels(open_images(folder)), pixels(open_images(folder, size=(3, 4))))


class TestIdx:
    def images(self) -> np.ndarray[Any, Any]:
        return np.random.default_rng(0).integers(0, 256, (5, 3, 4), dtype=np.uint8)

    @pytest.mark.parametrize("ending", ["", ".gz"])
    @pytest.mark.parametrize("labels_ending", ["", ".gz"])
    def test_labels_lie_beside_it(self, tmp_path: Path, ending: str, labels_ending: str) -> None:
        images = self.images()
        path = write_idx(tmp_path / f"t10k-images-idx3-ubyte{ending}", images)
        write_idx(tmp_path / f"t10k-labels-idx1-ubyte{labels_ending}", np.array([8, 0, 1, 8, 9], np.uint8))
        source = open_images(path)
        assert source.columns == {"label": ["8", "0", "1", "8", "9"]}
        assert source.shape == (1, 3, 4)
        np.testing.assert_array_equal(source.take([4, 0])[:, 0], images[[4, 0]] / np.float32(255))

    def test_without_labels_there_are_none(self, tmp_path: Path) -> None:
        for name in ("images-idx3-ubyte", "some.idx"):
            assert open_images(write_idx(tmp_path / name, self.images())).columns == {}

    def test_is_the_same_as_a_folder_of_the_images(self, tmp_path: Path) -> None:
        images = self.images()
        path = write_idx(tmp_path / "images.idx", images)
        folder = save(tmp_path / "folder", **{str(number): image for number, image in enumerate(images)})
        np.testing.assert_array_equal(pixels(open_images(path)), pixels(open_images(folder)))

    def test_what_is_wrong(self, tmp_path: Path) -> None:
        path = write_idx(tmp_path / "images-idx3-ubyte", self.images())
        labels = write_idx(tmp_path / "labels-idx1-ubyte", np.zeros(4, np.uint8))
        assert "holds labels of shape (4,) for the 5 images of" in refused(path)
        assert "holds an array of shape (4,), and images are (n, height, width)" in refused(labels)
        assert "which announces 5 x 3 x 4 = 60" in refused(cut(path))
        with pytest.raises(FileNotFoundError, match="x-ubyte: there is no such file or folder"):
            open_images(tmp_path / "x-ubyte")


def test_what_is_taken_for_images(tmp_path: Path) -> None:
    assert is_images(tmp_path)
    for name in ("train-images-idx3-ubyte", "T10K-IMAGES.IDX3-UBYTE.GZ", "a.idx"):
        assert is_images(name)
    for name in ("-", "a.csv", "a.npy", "a.gz", "no-such-folder"):
        assert not is_images(name)


class TestLargeImages:
    """They are made smaller before they become floats, and look the same."""

    @pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16", "1", "LA"])
    @pytest.mark.parametrize("kind", ["png", "jpg"])
    def test_look_the_same(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, kind: str) -> None:
        if kind == "jpg" and mode not in ("L", "RGB"):
            pytest.skip("JPEG has no such images")
        y, x = np.mgrid[:400, :320]
        waves = np.stack([np.sin(x / 50), np.cos(y / 40), np.sin((x + y) / 60)], axis=2) * 120 + 127
        image = Image.fromarray(waves.astype(np.uint8))
        wide = Image.fromarray((waves[:, :, 0] * 256).astype(np.uint16))
        image = wide if mode == "I;16" else image.convert(mode)
        exif = Image.Exif()
        exif[274] = 6
        image.save(tmp_path / f"a.{kind}", exif=exif)
        monkeypatch.setattr("tollad.io.pictures._MANY_PIXELS", 0)
        small = open_images(tmp_path, size=(20, 25)).take([0])
        monkeypatch.setattr("tollad.io.images.reduced", lambda image, size: image)
        exact = open_images(tmp_path, size=(20, 25)).take([0])
        assert small.shape == exact.shape
        np.testing.assert_allclose(small, exact, atol=0.02)

    def test_others_are_the_same_to_the_bit(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "a.png")
        small = open_images(tmp_path, size=(16, 23)).take([0])
        monkeypatch.setattr("tollad.io.images.reduced", lambda image, size: image)
        np.testing.assert_array_equal(small, open_images(tmp_path, size=(16, 23)).take([0]))
