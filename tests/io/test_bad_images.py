"""Images that cannot be read: one sentence for each fault."""

from __future__ import annotations

import os
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from image_files import COLOUR, GREY, pixels, refused, save, write_idx
from PIL import Image

from tollad.io.images import open_images


class TestRefused:
    def test_no_images(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / ".hidden").write_text("")
        assert "is a folder without images; give one with .png, .jpg" in refused(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n\x1a\n"])
    def test_no_image_despite_its_name(self, tmp_path: Path, content: bytes) -> None:
        (save(tmp_path, a=GREY) / "b.png").write_bytes(content)
        assert "b.png: is " in refused(tmp_path)

    @pytest.mark.parametrize("ending", [".png", ".gif", ".webp"])
    def test_animated(self, tmp_path: Path, ending: str) -> None:
        frames = [Image.new("L", (8, 8), 60 * k) for k in range(3)]
        frames[0].save(tmp_path / f"x{ending}", save_all=True, append_images=frames[1:])
        assert f"x{ending}: is animated (3 frames); save the frames" in refused(tmp_path)

    def test_different_sizes(self, tmp_path: Path) -> None:
        save(tmp_path, a=GREY, b__c=GREY, d=GREY.T)
        assert "a.png is 3x4 pixels and d.png is 4x3 (height x width); resize all with size=" in refused(tmp_path)

    def test_mixed_grey_and_colour(self, tmp_path: Path) -> None:
        save(tmp_path, a=COLOUR, b=COLOUR, c=GREY)
        message = refused(tmp_path, size=(8, 8))
        assert "holds grey images (c.png) and colour images (a.png); convert them, or turn all" in message

    def test_pixels_of_an_unknown_kind(self, tmp_path: Path) -> None:
        Image.new("LAB", (4, 4)).save(tmp_path / "x.tif")
        assert "x.tif: holds pixels of an unknown kind (LAB); convert it to an 8- or 16-bit PNG" in refused(tmp_path)

    @pytest.mark.parametrize(
        ("value", "words"), [(1.5, "from 0.5 to 1.5"), (-0.1, "from -0.1 to 0.5"), (np.nan, "that are no numbers (NaN")]
    )
    def test_floats_out_of_range(self, tmp_path: Path, value: float, words: str) -> None:
        Image.fromarray(np.array([[0.5, value]], np.float32)).save(tmp_path / "x.tif")
        assert f"x.tif: holds values {words}" in refused(tmp_path)
        assert "not from 0 to 1; scale it" in refused(tmp_path, size=(4, 4))

    def test_several_pages(self, tmp_path: Path) -> None:
        pages = [Image.new("L", (8, 8), 60 * k) for k in range(3)]
        pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
        assert "x.tif: has 3 pages; save the pages" in refused(tmp_path)

    def test_too_many_pixels(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
        assert "x.png: has too many pixels to be read safely; cut it into tiles" in refused(save(tmp_path, x=GREY))

    def test_names_that_are_no_text(self, tmp_path: Path) -> None:
        save(tmp_path, a=GREY)
        os.rename(os.fsencode(tmp_path / "a.png"), os.fsencode(tmp_path) + b"/\xff.png")
        assert "the name of ?.png is no valid UTF-8; rename the file" in refused(tmp_path)

    def test_a_link_that_leads_nowhere(self, tmp_path: Path) -> None:
        os.symlink(tmp_path / "gone.png", tmp_path / "x.png")
        with pytest.raises(OSError, match=r"x\.png: cannot be read \(No such file or directory\)"):
            open_images(tmp_path)

    def test_without_pillow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_idx(tmp_path / "images.idx", GREY[None])
        monkeypatch.setitem(sys.modules, "PIL", None)
        with pytest.raises(ImportError, match=r"pip install 'tollad\[images\]'"):
            open_images(tmp_path)
        assert pixels(open_images(path)).shape == (1, 1, 3, 4)


FORMATS = (("png", "L"), ("png", "P"), ("jpg", "RGB"), ("gif", "L"), ("bmp", "RGB"), ("webp", "RGB"), ("ppm", "RGB"),
           ("tif", "L"), ("tif", "RGB"), ("avif", "RGB"), ("jp2", "RGB"))  # fmt: skip


@given(
    kind=st.sampled_from(FORMATS),
    cut_at=st.floats(0, 1),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
)
@example(kind=("avif", "RGB"), cut_at=1.0, changes=[(0.625, 0)])
def test_damage_is_one_sentence_or_other_pixels(
    tmp_path_factory: pytest.TempPathFactory,
    kind: tuple[str, str],
    cut_at: float,
    changes: list[tuple[float, int]],
) -> None:
    """Whatever is done to the bytes of an image, nothing but a ValueError comes of it."""
    folder, (ending, mode) = tmp_path_factory.mktemp("damaged"), kind
    path = folder / f"x.{ending}"
    Image.fromarray(COLOUR.repeat(4, 0).repeat(4, 1)).convert(mode).save(path)
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[int(place * len(content))] = value
    path.write_bytes(content[: round(cut_at * len(content))])
    message, read = "", np.zeros(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata and of very large images
        try:
            read = pixels(open_images(folder, size=(8, 8)))
        except ValueError as error:
            message = str(error)
    assert not message or re.fullmatch(rf"{re.escape(str(path))}: [^\n]+; [^\n]+", message)
    assert read.min() >= 0
    assert read.max() <= 1
