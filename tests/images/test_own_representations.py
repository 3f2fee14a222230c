"""Representations of one's own: an ONNX file and a function, beside the torch module of `test_detector.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

from tollad import ImageDetector
from tollad.cli.main import main
from tollad.images import representations
from tollad.images.representations import ImageFeatures, Representation

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

RNG = np.random.default_rng(0)


def images(n: int, *, square: bool = False) -> np.ndarray:
    made = np.clip(0.5 + RNG.normal(0, 0.05, (n, 1, 24, 24)), 0, 1).astype(np.float32)
    if square:
        made[:, :, 4:12, 4:12] = 0
    return made


def write_network(path: Path, *, pooled: bool = False, seed: int = 0, inputs: int = 1) -> Path:
    """Write a convolution of random weights, 4 x 4 pixels to 3 channels, or its averages over all positions."""
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    weight = np.random.default_rng(seed).normal(size=(3, 1, 4, 4)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x0", "w"], ["maps"], strides=[4, 4])]
    if pooled:
        nodes += [helper.make_node("GlobalAveragePool", ["maps"], ["means"])]
        nodes += [helper.make_node("Flatten", ["means"], ["out"])]
    given = [helper.make_tensor_value_info(f"x{i}", float32, ["n", 1, 24, 24]) for i in range(inputs)]
    result = helper.make_tensor_value_info("out" if pooled else "maps", float32, None)
    graph = helper.make_graph(nodes, "eyes", given, [result], [onnx.numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


class TestOnnxFile:
    @pytest.fixture
    def network(self, tmp_path):
        return write_network(tmp_path / "eyes.onnx")

    def test_sees_what_the_network_gives(self, network):
        seen = representations.of(str(network)).extract(images(6))
        assert seen.positions["places"].shape == (6, 6, 6, 3)
        np.testing.assert_allclose(seen.whole["texture"][:, :3], seen.positions["places"].mean((1, 2)), rtol=1e-4)

    def test_finds_where(self, network):
        detector = ImageDetector(str(network), random_state=0).fit(images(40))
        maps = detector.anomaly_map(images(5, square=True))
        assert maps[:, 4:12, 4:12].mean() > 2 * maps[:, 16:, 16:].mean()

    def test_score_does_not_depend_on_its_batch(self, network):
        detector = ImageDetector(str(network), random_state=0).fit(images(20))
        new = images(7)
        np.testing.assert_array_equal(
            detector.anomaly_score(new), np.concatenate([detector.anomaly_score(one[None]) for one in new])
        )

    def test_without_positions_there_is_no_map(self, tmp_path):
        network = write_network(tmp_path / "pooled.onnx", pooled=True)
        detector = ImageDetector(str(network), random_state=0).fit(images(20))
        assert detector.levels_ == ("whole",)
        with pytest.raises(ValueError, match="has no maps"):
            detector.anomaly_map(images(2))

    def test_model_file_knows_the_network_by_its_sha256(self, network, tmp_path):
        path = tmp_path / "model.tollad"
        detector = ImageDetector(str(network), random_state=0).fit(images(20))
        detector.save(path)
        new = images(3)
        np.testing.assert_array_equal(ImageDetector.load(path).anomaly_score(new), detector.anomaly_score(new))
        moved = network.rename(tmp_path / "elsewhere.onnx")
        again = ImageDetector.load(path, representation=str(moved))
        np.testing.assert_array_equal(again.anomaly_score(new), detector.anomaly_score(new))
        with pytest.raises(FileNotFoundError, match=r"eyes\.onnx, which is not there; put it back, or load the model"):
            ImageDetector.load(path)
        write_network(network, seed=1)
        with pytest.raises(ValueError, match=r"other weights of .*eyes\.onnx"):
            ImageDetector.load(path)

    def test_on_the_command_line(self, network, tmp_path):
        (tmp_path / "good").mkdir()
        for number, image in enumerate(images(12)):
            Image.fromarray((image[0] * 255).astype(np.uint8)).save(tmp_path / "good" / f"{number}.png")
        model = tmp_path / "m.tollad"
        asked = ["fit", str(tmp_path / "good"), "--representation", str(network), "-o", str(model), "--quiet"]
        assert CliRunner().invoke(main, asked).exit_code == 0
        done = CliRunner().invoke(main, ["score", str(model), str(tmp_path / "good")])
        assert done.exit_code == 0
        network.unlink()
        done = CliRunner().invoke(main, ["score", str(model), str(tmp_path / "good")])
        assert done.exit_code != 0
        assert "eyes.onnx" in done.output
        assert "Traceback" not in done.output

    def test_file_that_is_no_model(self, tmp_path):
        path = tmp_path / "none.onnx"
        path.write_bytes(b"no model")
        with pytest.raises(ValueError, match=r"none\.onnx: is no ONNX model that onnxruntime can run"):
            ImageDetector(str(path)).fit(images(9))

    def test_file_that_is_not_there(self, tmp_path):
        with pytest.raises(
            FileNotFoundError, match=r"none\.onnx: there is no such file; give the path of your network"
        ):
            ImageDetector(str(tmp_path / "none.onnx")).fit(images(9))

    def test_network_of_two_inputs(self, tmp_path):
        network = write_network(tmp_path / "two.onnx", inputs=2)
        with pytest.raises(ValueError, match=r"two\.onnx: has 2 inputs"):
            ImageDetector(str(network)).fit(images(9))

    def test_images_of_another_size_than_the_network_takes(self, network):
        with pytest.raises(ValueError, match=r"eyes\.onnx: cannot see images \(4, 1, 16, 16\)"):
            ImageDetector(str(network)).fit(images(9)[:, :, :16, :16])

    def test_missing_extra(self, network, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(ImportError, match=r"pip install 'tollad\[onnx\]'"):
            ImageDetector(str(network)).fit(images(9))


class TestTimm:
    """timm itself needs a torchvision that fits torch; what is used of it stands in for it here."""

    @pytest.fixture(autouse=True)
    def timm(self, monkeypatch):
        torch.manual_seed(0)
        self.network, self.asked = nn.Conv2d(3, 4, 8, 8), {}
        described = SimpleNamespace(hf_hub_id="timm/small.first", mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))

        def create_model(name: str, **how: object) -> nn.Module:
            self.asked = {"name": name, **how}
            return self.network

        def download(repository: str, file: str, *, local_files_only: bool) -> str:
            assert (repository, file, local_files_only) == ("timm/small.first", "model.safetensors", True)
            if self.network is None:
                raise FileNotFoundError("not in the cache")
            return "weights"

        models = SimpleNamespace(get_pretrained_cfg={"small": described}.get)
        monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(models=models, create_model=create_model))
        monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=download))

    def test_is_found_by_its_name_saved_and_read_again(self, tmp_path):
        detector = ImageDetector("timm:small", random_state=0).fit(images(20))
        assert detector.levels_ == ("texture", "positions")
        assert self.asked["pretrained_cfg_overlay"] == {"file": "weights"}
        assert (self.asked["name"], self.asked["num_classes"], self.asked["global_pool"]) == ("small", 0, "")
        detector.save(tmp_path / "m")
        new = images(3)
        scores = detector.anomaly_score(new)
        np.testing.assert_array_equal(ImageDetector.load(tmp_path / "m").anomaly_score(new), scores)
        with torch.no_grad():
            self.network.weight.add_(1)
        with pytest.raises(ValueError, match="other weights of timm:small"):
            ImageDetector.load(tmp_path / "m")

    def test_grey_images_are_shown_in_colour_and_in_its_units(self):
        seen = representations.of("timm:small").extract(np.full((1, 1, 8, 8), 0.9, np.float32))
        shown = torch.tensor([2.0, 2.5, 3.0]).reshape(1, 3, 1, 1).expand(1, 3, 8, 8)
        expected = self.network(shown).detach().numpy()[:, :, 0, 0]
        np.testing.assert_allclose(seen.positions["places"][:, 0, 0], expected, rtol=1e-5)

    def test_unknown_network(self):
        with pytest.raises(
            ValueError, match=r"timm:large: timm has no such network with weights; see timm.list_models"
        ):
            ImageDetector("timm:large").fit(images(9))

    def test_weights_that_are_not_there_are_not_downloaded(self):
        self.network = None
        with pytest.raises(
            OSError, match=r"timm:small: its weights are not on this machine; fetch them once in Python"
        ):
            ImageDetector("timm:small").fit(images(9))

    def test_without_timm(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "timm", None)
        with pytest.raises(ImportError, match="timm:small needs timm; install it with: pip install timm"):
            ImageDetector("timm:small").fit(images(9))


class TestFunction:
    eyes = Representation("rows", lambda x: ImageFeatures({"rows": x.mean((1, 3))}, {}), "ledoit_wolf")

    def test_is_used_saved_and_asked_for(self, tmp_path):
        path = tmp_path / "model.tollad"
        detector = ImageDetector(self.eyes, random_state=0).fit(images(20))
        assert detector.levels_ == ("rows",)
        detector.save(path)
        with pytest.raises(ValueError, match="needs representation=, the rows that it was fitted with"):
            ImageDetector.load(path)
        again = ImageDetector.load(path, representation=self.eyes)
        new = images(3)
        np.testing.assert_array_equal(again.anomaly_score(new), detector.anomaly_score(new))

    def test_model_of_a_known_one_takes_no_other(self, tmp_path):
        path = tmp_path / "model.tollad"
        ImageDetector("gradients", random_state=0).fit(images(20)).save(path)
        with pytest.raises(ValueError, match="has no representation of its own, but gradients"):
            ImageDetector.load(path, representation=self.eyes)
