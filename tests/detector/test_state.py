"""A fitted detector as a file: the same bits, or one sentence."""

from __future__ import annotations

import copy
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from detectors import KINDS, assert_same_bits, linear_network, make, own_network, table, train
from sklearn.base import clone

from tollad import TollDetector
from tollad.io import artifact

pytestmark = pytest.mark.usefixtures("global_random_states_stay")


class TestSave:
    @pytest.mark.parametrize("kind", KINDS)
    def test_round_trip(self, fitted, kind, tmp_path):
        detector, rows = fitted[kind], KINDS[kind][0]
        path = tmp_path / "größe.tollad"
        detector.save(path)
        network = own_network(seed=99) if kind == "own modules" else None
        loaded = TollDetector.load(str(path), network=network)
        assert_same_bits(loaded, detector, rows)
        np.testing.assert_array_equal(loaded.transform(rows), detector.transform(rows))
        np.testing.assert_array_equal(loaded.reconstruct(rows), detector.reconstruct(rows))
        assert loaded.settings_ == detector.settings_
        assert loaded.history_ == detector.history_
        assert loaded.n_steps_ == detector.n_steps_
        assert loaded.input_shape_ == detector.input_shape_
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("kind", ["table", "mlp", "images", "mean", "linear"])
    def test_loaded_fits_and_saves_alike(self, fitted, kind, tmp_path):
        fitted[kind].save(tmp_path / "one")
        loaded = TollDetector.load(tmp_path / "one")
        loaded.save(tmp_path / "other")
        assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
        assert_same_bits(clone(loaded).fit(KINDS[kind][0]), fitted[kind], KINDS[kind][0])

    def test_names(self, tmp_path):
        frame = pd.DataFrame(table(), columns=list("abcde"))
        detector = make().fit(frame)
        detector.save(tmp_path / "m")
        loaded = TollDetector.load(tmp_path / "m")
        assert loaded.feature_names_in_.tolist() == list("abcde")
        np.testing.assert_array_equal(loaded.anomaly_score(frame), detector.training_scores_)
        with pytest.raises(ValueError, match="feature names should match"):
            loaded.anomaly_score(frame.rename(columns={"a": "z"}))

    def test_threshold_travels(self, fitted, tmp_path):
        detector = copy.deepcopy(fitted["table"]).set_threshold(anomaly_score=1.25)
        detector.save(tmp_path / "m")
        loaded = TollDetector.load(tmp_path / "m")
        assert loaded.offset_ == -1.25
        assert (loaded.set_threshold(contamination=0.5).predict(table()) == -1).sum() == 30

    def test_notes_are_of_one_fit(self, fitted, tmp_path):
        fitted["table"].save(tmp_path / "m", notes={"rows": "sensor 7"})
        loaded = TollDetector.load(tmp_path / "m")
        loaded.save(tmp_path / "none", notes={})
        assert TollDetector.load(tmp_path / "none").notes_ == {}
        assert loaded.fit(table()).notes_ == {}

    def test_notes_travel(self, fitted, tmp_path):
        fitted["table"].save(tmp_path / "m", notes={"rows": "sensor 7"})
        loaded = TollDetector.load(tmp_path / "m")
        assert loaded.notes_ == {"rows": "sensor 7"}
        loaded.save(tmp_path / "n")
        assert TollDetector.load(tmp_path / "n").notes_ == {"rows": "sensor 7"}

    def test_seed_that_was_drawn_travels(self, tmp_path):
        detector = train(random_state=None)
        detector.save(tmp_path / "m")
        loaded = TollDetector.load(tmp_path / "m")
        assert_same_bits(clone(loaded).fit(table()), detector, table())

    def test_existing_file(self, fitted, tmp_path):
        fitted["table"].save(tmp_path / "m")
        before = (tmp_path / "m").read_bytes()
        with pytest.raises(FileExistsError, match="m already exists"):
            fitted["mlp"].save(tmp_path / "m", overwrite=False)
        assert (tmp_path / "m").read_bytes() == before
        fitted["mlp"].save(tmp_path / "m")
        assert_same_bits(TollDetector.load(tmp_path / "m"), fitted["mlp"], table())

    def test_parameters_of_numpy_travel(self, tmp_path):
        detector = make(
            beta=np.float32(0.5),
            hidden=[np.int64(8)],
            latent_dim=np.int32(2),
            random_state=np.int64(3),
            steps=np.int64(30),
        ).fit(table())
        detector.save(tmp_path / "m")
        assert_same_bits(TollDetector.load(tmp_path / "m"), detector, table())

    def test_fractions_travel_as_numbers(self, tmp_path):
        make("mlp", beta=Fraction(1, 2)).fit(table()).save(tmp_path / "m")
        assert TollDetector.load(tmp_path / "m").beta == 0.5

    def test_own_modules_are_needed_again(self, fitted, tmp_path):
        fitted["own modules"].save(tmp_path / "m")
        with pytest.raises(
            ValueError, match=r"m holds weights of modules of your own; pass network=\(encoder, decoder\)"
        ):
            TollDetector.load(tmp_path / "m")
        with pytest.raises(ValueError, match="the weights of another network"):
            TollDetector.load(tmp_path / "m", network=linear_network())

    def test_own_modules_for_a_named_network_are_refused(self, fitted, tmp_path):
        fitted["mlp"].save(tmp_path / "m")
        with pytest.raises(ValueError, match="m holds network 'mlp'; load it without network="):
            TollDetector.load(tmp_path / "m", network=own_network())

    def test_device_of_another_machine(self, fitted, tmp_path):
        """A model that was fitted on a GPU, here: say so, and run where we ask for."""
        fitted["table"].save(tmp_path / "m")
        metadata, tensors = artifact.load(tmp_path / "m", "model")
        del metadata["seal"]  # as an older file
        metadata["parameters"]["device"] = "cuda:97"
        artifact.save(tmp_path / "m", "model", metadata, tensors)
        with pytest.warns(
            UserWarning, match="m: was fitted on cuda:97, which is not on this machine; it runs on the CPU"
        ):
            loaded = TollDetector.load(tmp_path / "m")
        assert loaded.device == "cpu"
        np.testing.assert_array_equal(loaded.anomaly_score(table()), fitted["table"].training_scores_)

    @pytest.mark.parametrize("part", ["parameters", "settings"])
    def test_model_with_an_unknown_key_is_refused_by_name(self, fitted, load, tmp_path, part):
        """One that a later tollad wrote, perhaps: its digest is right."""
        fitted["table"].save(tmp_path / "m")
        metadata, tensors = artifact.load(tmp_path / "m", "model")
        del metadata["seal"]  # as an older file
        metadata[part]["gamma"] = 1
        artifact.save(tmp_path / "m", "model", metadata, tensors)
        with pytest.raises(ValueError, match=r"m.*gamma"):
            load(tmp_path / "m")

    def test_model_without_a_key_is_refused_by_name(self, fitted, load, tmp_path):
        fitted["table"].save(tmp_path / "m")
        metadata, tensors = artifact.load(tmp_path / "m", "model")
        del metadata["seal"]  # as an older file
        del metadata["settings"]
        artifact.save(tmp_path / "m", "model", metadata, tensors)
        with pytest.raises(ValueError, match=r"m.*settings"):
            load(tmp_path / "m")

    def test_model_without_a_tensor_is_refused(self, fitted, load, tmp_path):
        fitted["table"].save(tmp_path / "m")
        metadata, tensors = artifact.load(tmp_path / "m", "model")
        del metadata["seal"]  # as an older file
        for name in ("training_scores", "features.mean", "stack.encoder.0.weight"):
            artifact.save(tmp_path / "m", "model", metadata, {k: v for k, v in tensors.items() if k != name})
            with pytest.raises(ValueError, match=name.rpartition(".")[2]):
                load(tmp_path / "m")

    @pytest.mark.parametrize(
        ("part", "changes"),
        [
            ("settings", {"network": "__builtins__"}),
            ("settings", {"network": "nope"}),
            ("settings", {"precision": "half"}),
            ("settings", {"latent_dim": -3}),
            ("settings", {"n_members": 10**9}),
            ("settings", {"beta": "auto"}),
            ("settings", {"hidden": [0]}),
            ("parameters", {"beta": "1/2"}),
            (None, {"input_shape": []}),
            (None, {"input_shape": [7]}),
            (None, {"input_shape": [5, 5]}),
            (None, {"offset": None}),
            (None, {"offset": "x"}),
            (None, {"threshold_rule": ["contamination"]}),
            (None, {"threshold_rule": ["chance", 0.1]}),
            (None, {"notes": "none"}),
            (None, {"feature_names": ["a"]}),
        ],
        ids=str,
    )
    def test_model_of_values_that_fit_no_detector_is_refused(self, fitted, load, tmp_path, part, changes):
        fitted["table"].save(tmp_path / "m")
        metadata, tensors = artifact.load(tmp_path / "m", "model")
        del metadata["seal"]  # as an older file
        (metadata if part is None else metadata[part]).update(changes)
        artifact.save(tmp_path / "m", "model", metadata, tensors)
        with pytest.raises((TypeError, ValueError), match=r"(is no model that this tollad knows|^beta must be)"):
            load(tmp_path / "m")

    @pytest.mark.parametrize("name", ["features.mean", "features.fill", "member_means", "stack.encoder.0.weight"])
    def test_model_of_tensors_that_numpy_would_stretch_is_refused(self, fitted, load, tmp_path, name):
        fitted["table"].save(tmp_path / "m")
        metadata, tensors = artifact.load(tmp_path / "m", "model")
        del metadata["seal"]  # as an older file
        artifact.save(tmp_path / "m", "model", metadata, {**tensors, name: tensors[name][:1]})
        with pytest.raises(ValueError, match="is no model that this tollad knows"):
            load(tmp_path / "m")

    @pytest.mark.parametrize("damage", ["cut", "altered"])
    def test_damaged_file_is_refused(self, fitted, load, tmp_path, damage):
        fitted["table"].save(tmp_path / "m")
        data = bytearray((tmp_path / "m").read_bytes())
        data[-5] ^= 1
        (tmp_path / "m").write_bytes(data if damage == "altered" else data[:-100])
        with pytest.raises(ValueError, match=r"m (was altered|is truncated)"):
            load(tmp_path / "m")

    def test_checkpoint_is_no_model(self, tmp_path):
        make().fit(table(), checkpoint=tmp_path / "c")
        with pytest.raises(ValueError, match="is a tollad file of kind 'checkpoint'; give a file of kind 'model'"):
            TollDetector.load(tmp_path / "c")

    def test_nothing_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="m: there is no such file"):
            TollDetector.load(tmp_path / "m")
