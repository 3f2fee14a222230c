"""The image detector: finds what is unlike, says where, keeps its promises, and refuses what it cannot see."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tollad import ImageDetector
from tollad.images import backbones, levels, representations
from tollad.images.positions import NearestPositions
from tollad.io import artifact

needs_weights = pytest.mark.skipif(not backbones.has_efficientnet_lite2(), reason="the extra vision is not installed")


def stripes(n: int, *, across: bool, seed: int, side: int = 28) -> np.ndarray:
    """Noisy stripes, upright or across: (n, side, side), from 0 to 1."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6, (n, 1, 1))
    wave = np.sin(np.arange(side)[None, None, :] * 0.8 + phase) * 0.3 + 0.5 + 0 * np.arange(side)[None, :, None]
    images = np.clip(wave + rng.normal(0, 0.05, (n, side, side)), 0, 1)
    return images.transpose(0, 2, 1) if across else images


def with_square(images: np.ndarray) -> np.ndarray:
    altered = images.copy()
    altered[:, 4:12, 4:12] = 0.0
    return altered


class Blurred(nn.Module):
    """Local brightness and contrast: maps of two channels."""

    def __init__(self, side: int = 4) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1, 1, side, side), 1 / side**2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        side = self.weight.shape[-1]
        mean = nn.functional.conv2d(x, self.weight, stride=side)
        square = nn.functional.conv2d(x * x, self.weight, stride=side)
        return torch.cat([mean, square - mean**2], 1)


REPRESENTATIONS = {"gradients": "gradients", "module": Blurred(), "pixels": "pixels"}


@pytest.fixture(scope="module", params=REPRESENTATIONS)
def fitted(request):
    collapse = {"steps": 20} if request.param == "pixels" else None
    detector = ImageDetector(REPRESENTATIONS[request.param], collapse=collapse, random_state=0)
    return detector.fit(stripes(60, across=False, seed=0))


def test_finds_another_kind():
    detector = ImageDetector(random_state=0).fit(stripes(60, across=False, seed=0))
    normal, other = (detector.anomaly_score(stripes(20, across=across, seed=1)) for across in (False, True))
    assert detector.representation_ == "gradients"
    assert normal.max() < other.min()
    assert (detector.predict(stripes(20, across=True, seed=1)) == -1).all()


@pytest.mark.parametrize("name", ["gradients", "module"])
def test_map_shows_where(name):
    detector = ImageDetector(REPRESENTATIONS[name], random_state=0).fit(stripes(60, across=False, seed=0))
    maps = detector.anomaly_map(with_square(stripes(20, across=False, seed=1)))
    assert maps.shape == (20, 28, 28)
    assert maps[:, 4:12, 4:12].mean() > 2 * maps[:, 16:, 16:].mean()


def test_score_does_not_depend_on_its_batch(fitted):
    images = stripes(70, across=True, seed=2)
    together = fitted.anomaly_score(images)
    for one in (0, 1, 31, 63, 64, 69):
        np.testing.assert_array_equal(fitted.anomaly_score(images[one : one + 1]), together[one : one + 1])
    np.testing.assert_array_equal(fitted.anomaly_map(images)[3], fitted.anomaly_map(images[3:4])[0])


def test_score_is_the_geometric_mean_of_its_levels(fitted):
    explanation = fitted.explain(stripes(5, across=True, seed=2))
    np.testing.assert_allclose(explanation.by_level.prod(1) ** (1 / len(explanation.levels)), explanation.scores)
    np.testing.assert_array_equal(explanation.scores, fitted.anomaly_score(stripes(5, across=True, seed=2)))
    assert explanation.by_level.shape == (5, len(explanation.levels))
    assert explanation.maps.shape == (5, 28, 28)


def test_saved_and_loaded_scores_are_the_same_bits(fitted, tmp_path):
    path = tmp_path / "model.tollad"
    fitted.save(path, notes={"camera": 3})
    module = {"representation": Blurred()} if fitted.representation_ == "module" else {}
    again = ImageDetector.load(path, **module)
    images = stripes(5, across=True, seed=2)
    np.testing.assert_array_equal(again.anomaly_score(images), fitted.anomaly_score(images))
    np.testing.assert_array_equal(again.anomaly_map(images), fitted.anomaly_map(images))
    np.testing.assert_array_equal(again.predict(images), fitted.predict(images))
    assert again.notes_ == {"camera": 3}


def test_same_seed_gives_same_bits():
    images = stripes(40, across=False, seed=0)
    first, second = (ImageDetector(head="collapse", collapse={"steps": 20}, random_state=3).fit(images) for _ in "ab")
    np.testing.assert_array_equal(first.anomaly_score(images), second.anomaly_score(images))


def test_bytes_and_floats_are_the_same_images():
    images = (stripes(30, across=False, seed=0) * 255).astype(np.uint8)
    detector = ImageDetector(random_state=0).fit(images)
    np.testing.assert_array_equal(detector.anomaly_score(images[:, None] / 255), detector.anomaly_score(images))


def test_false_alarm_rate_is_kept():
    detector = ImageDetector(false_alarm_rate=0.1, random_state=0).fit(stripes(300, across=False, seed=0))
    alarms = detector.predict(stripes(300, across=False, seed=1)) == -1
    assert 0.03 < alarms.mean() < 0.2
    assert detector.decision_.rule == ("false_alarm_rate", 0.1)


def test_calibrate_gives_p_values():
    detector = ImageDetector(random_state=0).fit(stripes(60, across=False, seed=0))
    with pytest.raises(ValueError, match="calibrate"):
        detector.p_value(stripes(5, across=True, seed=2))
    detector.calibrate(stripes(99, across=False, seed=1), false_alarm_rate=0.05)
    np.testing.assert_array_equal(detector.p_value(stripes(5, across=True, seed=2)), np.full(5, 0.01))
    assert detector.alarms(stripes(5, across=True, seed=2)).all()


def test_contamination_counts_images_that_were_not_fitted_on():
    """So the threshold holds for new good images, too, where the fit had few."""
    detector = ImageDetector(contamination=0.2, random_state=0).fit(stripes(50, across=False, seed=0))
    assert (detector.predict(stripes(300, across=False, seed=1)) == -1).mean() < 0.45


@pytest.mark.parametrize(
    ("levels", "names"),
    [
        ("auto", ("texture", "positions")),
        ("both", ("texture", "positions")),
        ("image", ("texture",)),
        ("positions", ("positions",)),
    ],
)
def test_levels(levels, names, tmp_path):
    detector = ImageDetector(Blurred(), levels=levels, random_state=0).fit(stripes(20, across=False, seed=0))
    assert detector.levels_ == names
    assert detector.anomaly_map(stripes(2, across=False, seed=1)).shape == (2, 28, 28)
    detector.save(tmp_path / "m")
    assert ImageDetector.load(tmp_path / "m", representation=Blurred()).levels_ == names


def test_homogeneous_textures_are_judged_by_positions_alone(tmp_path):
    grain = np.random.default_rng(0).random((103, 28, 28))
    detector = ImageDetector(Blurred(), random_state=0).fit(grain[:100])
    assert detector.levels_ == ("positions",)
    alone = ImageDetector(Blurred(), levels="positions", random_state=0).fit(grain[:100])
    np.testing.assert_array_equal(detector.anomaly_score(grain[100:]), alone.anomaly_score(grain[100:]))
    both = ImageDetector(Blurred(), levels="both", random_state=0).fit(grain[:100])
    assert both.levels_ == ("texture", "positions")
    detector.save(tmp_path / "m")
    again = ImageDetector.load(tmp_path / "m", representation=Blurred())
    assert again.levels_ == ("positions",)
    np.testing.assert_array_equal(again.anomaly_score(grain[100:]), detector.anomaly_score(grain[100:]))


def test_positions_of_textures_are_saved_too(tmp_path):
    grain = np.random.default_rng(0).random((33, 28, 28))
    detector = ImageDetector(Blurred(), random_state=0).fit(grain[:30])
    assert isinstance(detector.scorer_.positions, NearestPositions)
    assert detector.anomaly_map(grain[30:]).shape == (3, 28, 28)
    detector.save(tmp_path / "m")
    again = ImageDetector.load(tmp_path / "m", representation=Blurred())
    np.testing.assert_array_equal(again.anomaly_score(grain[30:31]), detector.anomaly_score(grain[30:])[:1])


class TestBadInput:
    images = stripes(20, across=False, seed=0)

    @pytest.mark.parametrize(
        ("images", "message"),
        [
            (images[:4], "needs 5 good images or more; there are 4"),
            (images[:, :12], "12x28 pixels, and gradients needs 16 or more"),
            (np.where(images == images.max(), np.nan, images), "holds NaN; replace it, or leave"),
            (images * 255, "floats go from 0 to 1; divide"),
            (images - 0.5, "floats go from 0 to 1; divide"),
            ([images[0], images[1][:20]], "differ in size"),
            (images[0], r"not an array of shape \(28, 28\)"),
            (images.reshape(5, 4, 28, 28), "1 channel or 3"),
            (np.zeros((9, 28, 28, 3)), r"move the last axis, as numpy.moveaxis\(images, 3, 1\) does"),
            (np.ma.masked_less(images, 0.5), "have masked pixels; fill them"),
            (np.empty((0, 28, 28)), "not an array of shape"),
        ],
    )
    def test_of_a_fit(self, images, message):
        with pytest.raises(ValueError, match=message):
            ImageDetector("gradients").fit(images)

    def test_integers_have_no_known_range(self):
        with pytest.raises(TypeError, match="uint8, or floats from 0 to 1, not int64"):
            ImageDetector().fit(np.ones((9, 28, 28), np.int64))

    def test_paths_are_no_images(self):
        with pytest.raises(TypeError, match=r"arrays, not paths; read a folder by tollad.images.open_images"):
            ImageDetector().fit("photos")

    def test_of_another_size_than_at_fit(self):
        detector = ImageDetector(random_state=0).fit(self.images)
        with pytest.raises(ValueError, match="1 channels of 20x28 pixels, but those of the fit had 1 of 28x28"):
            detector.anomaly_score(self.images[:, :20])

    def test_failed_fit_leaves_the_detector_as_it_was(self):
        detector = ImageDetector("gradients", random_state=0).fit(self.images)
        before = detector.anomaly_score(self.images)
        with pytest.raises(ValueError, match="needs"):
            detector.fit(self.images[:, :, :12])
        np.testing.assert_array_equal(detector.anomaly_score(self.images), before)

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            (
                {"representation": "resnet"},
                "unknown representation 'resnet'; there are efficientnet_lite2, .* or give timm:NAME, an .onnx file",
            ),
            ({"head": "svm"}, "head must be one of auto, ledoit_wolf, nearest, collapse"),
            ({"levels": "all"}, "levels must be auto, both, image or positions"),
            ({"contamination": 0.6}, "contamination must be a share"),
            ({"false_alarm_rate": 2}, "false_alarm_rate must lie between 0 and 1"),
            ({"false_alarm_rate": 0.01}, "needs 99 images to calibrate on"),
            ({"random_state": -1}, "random_state must be an integer"),
        ],
    )
    def test_parameters(self, parameters, message):
        with pytest.raises(ValueError, match=message):
            ImageDetector(**parameters).fit(self.images)

    def test_module_of_other_weights(self, tmp_path):
        path = tmp_path / "model.tollad"
        ImageDetector(Blurred(), random_state=0).fit(self.images).save(path)
        other = Blurred()
        nn.init.constant_(other.weight, 0.1)
        with pytest.raises(ValueError, match="fitted with other weights of module"):
            ImageDetector.load(path, representation=other)
        with pytest.raises(ValueError, match="needs representation="):
            ImageDetector.load(path)

    def test_module_that_gives_something_else(self):
        with pytest.raises(ValueError, match=r"must give \(b, d\) or \(b, c, h, w\)"):
            ImageDetector(nn.Flatten(2)).fit(self.images)

    def test_missing_extra(self, monkeypatch):
        monkeypatch.setattr(backbones, "find_spec", lambda name: None)
        backbones.load_efficientnet_lite2.cache_clear()
        with pytest.raises(ImportError, match=r"pip install 'tollad\[vision\]'"):
            ImageDetector("efficientnet_lite2").fit(self.images)
        detector = ImageDetector(random_state=0).fit(np.repeat(self.images[:, None], 3, 1))
        assert detector.representation_ == "gradients"
        assert "tollad[vision]" in detector.choice_

    def test_file_of_a_table_model(self, tmp_path):
        from tollad import TollDetector

        path = tmp_path / "model.tollad"
        TollDetector(steps=20, random_state=0).fit(np.random.default_rng(0).normal(size=(50, 2))).save(path)
        with pytest.raises(ValueError, match="kind 'model'; give a file of kind 'image model'"):
            ImageDetector.load(path)


@pytest.fixture(scope="module")
def seen_by_backbone(tmp_path_factory):
    """Images, a detector that was fitted on them, and its file."""
    images = stripes(6, across=False, seed=0, side=64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "_MOST_CHANNELS", 48)  # 256 take ten seconds
        detector = ImageDetector(random_state=0).fit(images)
    path = tmp_path_factory.mktemp("backbone") / "model.tollad"
    detector.save(path)
    return images, detector, path


@needs_weights
class TestBackbone:
    def test_sees_defects_of_larger_images(self, seen_by_backbone):
        images, detector, path = seen_by_backbone
        assert detector.representation_ == "efficientnet_lite2_fine"
        assert detector.levels_ == ("texture", "positions")
        altered = with_square(images[:4])
        scores = detector.anomaly_score(altered)
        assert scores.min() > detector.anomaly_score(images[:4]).max()
        maps = detector.anomaly_map(altered)
        assert maps[:, 4:12, 4:12].mean() > maps[:, 32:, 32:].mean()
        np.testing.assert_array_equal(ImageDetector.load(path).anomaly_map(altered), maps)
        np.testing.assert_array_equal(detector.anomaly_score(altered[:1]), scores[:1])

    def test_large_images_are_seen_at_their_size_and_small_ones_enlarged(self):
        names = [representations.choose((3, side, side))[0] for side in (32, 64, 127, 128, 300)]
        assert names == ["efficientnet_lite2_fine"] * 3 + ["efficientnet_lite2"] * 2

    @pytest.mark.parametrize(("name", "grid"), [("efficientnet_lite2", 16), ("efficientnet_lite2_fine", 32)])
    def test_positions_of_the_finer_look_lie_closer(self, name, grid):
        seen = representations.of(name).extract(stripes(2, across=False, seed=0, side=64)[:, None].astype(np.float32))
        assert [maps.shape[1] for maps in seen.positions.values()] == [grid, grid // 2, grid // 2]
        assert {level: rows.shape for level, rows in seen.whole.items()} == {
            "texture": (2, 1632),
            "kind": (2, 1280),
            "spread": (2, 816),
        }

    def test_small_colour_images_have_no_map(self):
        images = np.repeat(stripes(6, across=False, seed=0)[:, None], 3, 1)
        detector = ImageDetector(random_state=0).fit(images)
        assert detector.levels_ == ("texture", "kind")
        with pytest.raises(ValueError, match="has no maps; use gradients or pixels, or larger images"):
            detector.anomaly_map(images)

    def test_weights_that_are_none(self, monkeypatch, tmp_path):
        path = tmp_path / "weights.pth"
        path.write_bytes(b"no weights")
        monkeypatch.setattr(backbones, "_weights_file", lambda: path)
        backbones.load_efficientnet_lite2.cache_clear()
        with pytest.raises(ValueError, match="holds no weights of EfficientNet-Lite2"):
            backbones.load_efficientnet_lite2()

    def test_other_weights_than_at_fit(self, monkeypatch, seen_by_backbone):
        network, _ = backbones.load_efficientnet_lite2()
        monkeypatch.setattr(backbones, "load_efficientnet_lite2", lambda: (network, "0" * 64))
        with pytest.raises(
            ValueError, match=r"other weights of efficientnet_lite2_fine .* install the same or fit again"
        ):
            ImageDetector.load(seen_by_backbone[2])


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "files").glob("*.tollad")), ids=lambda path: path.stem)
def test_file_of_an_earlier_version_has_the_same_scores(path):
    """Written before there was an `ImageScorer`."""
    expected = json.loads(path.with_suffix(".json").read_text())
    detector = ImageDetector.load(path, **({"representation": Blurred()} if path.stem == "module" else {}))
    new = stripes(3, across=True, seed=2)
    np.testing.assert_allclose(detector.anomaly_score(new), expected["scores"], rtol=1e-6)
    np.testing.assert_allclose(detector.anomaly_map(new).max((1, 2)), expected["highest"], rtol=1e-6)


@pytest.mark.parametrize(
    "alter",
    [
        lambda metadata, tensors: tensors.update({"whole.0.mean": tensors["whole.0.mean"][:-1]}),
        lambda metadata, tensors: tensors.update({"whole.0.mean": np.full_like(tensors["whole.0.mean"], 1e300)}),
        lambda metadata, tensors: metadata["wholes"][0].__setitem__(0, "unknown"),
        lambda metadata, tensors: metadata.update({"input_shape": [1, 2, 3]}),
        lambda metadata, tensors: metadata.update({"input_shape": [3, 60_000, 60_000]}),
    ],
)
def test_an_altered_file_without_a_seal_is_refused_when_it_is_read(alter, tmp_path):
    path = tmp_path / "m.tollad"
    ImageDetector("gradients", random_state=0).fit(stripes(20, across=False, seed=0)).save(path)
    metadata, tensors = artifact.load(path, "image model")
    del metadata["seal"]
    artifact.save(path, "image model", metadata, tensors, overwrite=True)
    ImageDetector.load(path)
    alter(metadata, tensors)
    artifact.save(path, "image model", metadata, tensors, overwrite=True)
    with pytest.raises(ValueError, match=r"m\.tollad"):
        ImageDetector.load(path)
