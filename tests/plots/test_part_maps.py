"""Images side by side with their heat maps: any number of channels, values and names."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tollad.detector.explain import Explanation
from tollad.plots import part_maps


def explained(shape: tuple[int, ...], *, scale: float = 1.0, seed: int = 0) -> Explanation:
    rng = np.random.default_rng(seed)
    parts, seen, expected = rng.random((3, *shape))
    scores = parts.reshape(len(parts), -1).sum(1)
    return Explanation(("x1",), scores, parts, np.zeros(len(parts)), scale * seen, scale * expected)


@pytest.mark.parametrize(
    ("shape", "scale"),
    [
        *(((1, 1, 8, 9), scale) for scale in (1.0, 255.0, -1e-9, 0.0)),
        *((shape, 1.0) for shape in ((3, 3, 9, 8), (2, 2, 1, 3000), (2, 1, 3000, 1), (5, 4, 8, 8))),
    ],
)
def test_any_images_are_drawn_with_name_and_score(tmp_path: Path, shape: tuple[int, ...], scale: float) -> None:
    explanation = explained(shape, scale=scale)
    part_maps(explanation, [f"{row}.png" for row in range(shape[0])], tmp_path / "a.svg")
    texts = re.findall("<!-- (.*?) -->", (tmp_path / "a.svg").read_text("utf-8"), re.DOTALL)
    for row, score in enumerate(explanation.scores):
        assert f"{row}.png" in texts
        assert f"score {score:.3g}" in texts
    assert texts.count("seen") == texts.count("expected") == 1


def test_without_any_part_there_is_a_map_all_the_same(tmp_path: Path) -> None:
    explanation = explained((2, 1, 8, 8))
    explanation.parts[:] = 0
    part_maps(explanation, ["a", "b"], tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_of_long_names_the_end_is_shown_and_none_is_a_formula(tmp_path: Path) -> None:
    part_maps(explained((2, 1, 8, 8)), ["a/very/long/way/to/the/file.png", "$x$"], tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text("utf-8")
    assert "<!-- ...to/the/file.png -->" in text
    assert "$x" in text.replace("\\$", "$")


def test_is_for_images_that_have_names(tmp_path: Path) -> None:
    for shape, names in (((2, 3), ["a", "b"]), ((2, 3, 4), ["a", "b"]), ((2, 1, 3, 4), ["a"])):
        with pytest.raises(ValueError, match=r"each with a name; there are \d names for rows of shape"):
            part_maps(explained(shape), names, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
