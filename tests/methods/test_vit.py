"""A vision transformer as the backbone of FITYMI: a tiny one with random weights, and the size of ViT-B/16."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tollad.methods import FITYMI, vit
from tollad.methods.trunks import frozen_outputs, trunk

transformers = pytest.importorskip("transformers")
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 3, 16, 16)).astype(np.uint8)
OTHERS = np.random.default_rng(1).integers(0, 256, (5, 3, 16, 16)).astype(np.uint8)
SMALL = {"side": 32, "epochs": 1, "batch_size": 6}

pytestmark = pytest.mark.usefixtures("global_random_states_stay")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    config = transformers.ViTConfig(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=32, image_size=32, patch_size=8
    )
    path = tmp_path_factory.mktemp("vit")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(path)
    return str(path)


def test_the_default_network_of_transformers_is_vit_b_16():
    with torch.device("meta"):
        model = transformers.ViTModel(transformers.ViTConfig(), add_pooling_layer=False)

    assert sum(weight.numel() for weight in model.parameters()) == 85_798_656


def test_the_features_are_the_class_token_of_the_whole_network(folder):
    model = transformers.ViTModel.from_pretrained(folder, add_pooling_layer=False).eval()
    x = torch.rand(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(2 * x - 1).last_hidden_state[:, 0]
        for n_trained in (0, 1, 3):
            parts = trunk(folder, n_trained)
            torch.testing.assert_close(parts.tail(parts.frozen(x)), expected)
    np.testing.assert_allclose(frozen_outputs(folder, 0, 32, x.double().numpy()), expected, atol=1e-6)


@pytest.mark.parametrize("trained_blocks", [0, 1])
def test_it_is_trained_and_scores_each_image_alone(folder, trained_blocks, tmp_path):
    before = {name: weight.clone() for name, weight in trunk(folder, trained_blocks).tail.named_parameters()}

    method = FITYMI(backbone=folder, trained_blocks=trained_blocks, collapse=0.1, **SMALL).fit(IMAGES)

    scores = method.anomaly_score(OTHERS)
    assert (method.anomaly_score(OTHERS[::-1])[::-1] == scores).all()
    assert (method.anomaly_score(OTHERS[3:4]) == scores[3]).all()
    assert method._bank.shape == (12, 24)
    assert all(
        (weight != before[name]).any() for name, weight in method._parts.tail.named_parameters() if weight.ndim > 1
    )
    method.save(tmp_path / "m")
    assert (FITYMI.load(tmp_path / "m").anomaly_score(OTHERS) == scores).all()


def test_what_does_not_suit_is_refused_in_words(folder, tmp_path):
    with pytest.raises(ValueError, match="takes images of 32 x 32 pixels: side must be 32"):
        FITYMI(backbone=folder, **{**SMALL, "side": 40}).fit(IMAGES)
    with pytest.raises(ValueError, match="trained_blocks must be at most the 3 of the backbone, not 4"):
        FITYMI(backbone=folder, trained_blocks=4, **SMALL).fit(IMAGES)
    with pytest.raises(ValueError, match=r"is no folder with the config.json and model.safetensors"):
        vit.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(ValueError, match="holds no vision transformer as transformers saves it"):
        vit.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="holds no vision transformer"):
        vit.load(tmp_path)


def test_dropout_of_a_folder_is_inactive_in_evaluation_and_draws_from_no_global_state(folder, tmp_path):
    model = transformers.ViTModel.from_pretrained(folder, add_pooling_layer=False)
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.5
    model.save_pretrained(tmp_path)
    parts, dropping = trunk(folder, 1), trunk(str(tmp_path), 1)
    x = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(dropping.tail.eval()(dropping.frozen(x)), parts.tail.eval()(parts.frozen(x)))

    first, second = (
        FITYMI(backbone=str(tmp_path), trained_blocks=1, **SMALL).fit(IMAGES).anomaly_score(OTHERS) for _ in range(2)
    )

    assert (first == second).all()
