"""What rows a detector takes: types, shapes, gaps and names; each mistake by its place."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from detectors import KINDS, NAN, assert_same_bits, make, table, train

pytestmark = pytest.mark.usefixtures("global_random_states_stay")


@pytest.fixture(scope="module")
def fitted():
    """One fitted detector of each kind; tests copy what they change."""
    return {kind: train(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def of_whole_numbers():
    return make("mlp").fit((10 * np.abs(table())).round())


class TestRows:
    """What rows may look like."""

    @pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.int8, np.uint8, object])
    def test_number_types(self, of_whole_numbers, dtype):
        rows = (10 * np.abs(table())).round().astype(dtype)
        detector = make("mlp").fit(rows)
        assert_same_bits(detector, of_whole_numbers, rows)

    @pytest.mark.filterwarnings("ignore:contamination")
    def test_truth_values(self):
        rows = table() > 0
        assert_same_bits(make("mlp").fit(rows), make("mlp").fit(rows.astype(float)), rows)

    @pytest.mark.parametrize("kind", KINDS)
    def test_read_only_and_strided_rows(self, fitted, kind):
        rows = KINDS[kind][0]
        strided = np.asfortranarray(rows)
        strided.setflags(write=False)
        np.testing.assert_array_equal(fitted[kind].anomaly_score(strided), fitted[kind].training_scores_)

    @pytest.mark.parametrize("kind", ["table", "table with gaps", "images"])
    def test_order_in_memory_does_not_matter_to_a_fit(self, fitted, kind):
        """A frame of pandas lies in memory by column, an array by row: the same rows give the same bits."""
        rows = KINDS[kind][0]
        strided = np.asfortranarray(rows)
        strided.setflags(write=False)
        assert_same_bits(make(kind).fit(strided), fitted[kind], rows)

    def test_masked_values_are_missing(self):
        rows = table()
        gaps = rows.copy()
        gaps[::7, 1] = NAN
        masked = np.ma.masked_invalid(gaps)
        masked.data[::7, 1] = -999
        assert_same_bits(make("mlp").fit(masked), make("mlp").fit(gaps), gaps)
        np.testing.assert_array_equal(*(make("mlp").fit(gaps).anomaly_score(X) for X in (masked, gaps)))

    def test_complex_numbers_are_refused_without_their_values(self):
        with pytest.raises(ValueError, match=r"^Complex data not supported: give .* columns of their own$"):
            make("mlp").fit(table() + 1j)

    @pytest.mark.parametrize("dtype", ["datetime64[s]", "timedelta64[ms]"])
    def test_dates_of_an_array_are_refused(self, fitted, dtype):
        """They would be counts of the unit that the array happens to have."""
        rows = np.arange(60 * 5).reshape(60, 5).astype(dtype)
        for take in (make().fit, fitted["table"].anomaly_score):
            with pytest.raises(TypeError, match=r"the rows are of type .*64\[m?s\]; dates .* are read from frames"):
                take(rows)

    def test_rows_of_nothing_are_refused(self):
        with pytest.raises(ValueError, match=r"shape \(5, 0, 8\) and hold no value"):
            make().fit(np.zeros((5, 0, 8)))

    def test_lists(self, fitted):
        assert_same_bits(make().fit(table().tolist()), fitted["table"], table().tolist())

    def test_memory_mapped(self, fitted, tmp_path):
        np.save(tmp_path / "rows.npy", table())
        mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
        assert_same_bits(make().fit(mapped), fitted["table"], mapped)

    @pytest.mark.parametrize("batch_size", [2, 59, 60, 61, 10_000])
    def test_any_batch_size(self, batch_size):
        detector = train("mlp", batch_size=batch_size, steps=80)
        assert detector.settings_.batch_size == min(60, batch_size)

    @pytest.mark.parametrize("kind", ["table", "mlp"])
    def test_fewer_rows_than_columns(self, kind):
        rows = table(4, d=30)
        assert make(kind, steps=60).fit(rows).anomaly_score(rows).shape == (4,)

    @pytest.mark.parametrize("kind", ["table", "mlp", "images"])
    def test_two_rows(self, kind):
        detector = make(kind, steps=60).fit(KINDS[kind][0][:2])
        assert np.isfinite(detector.anomaly_score(KINDS[kind][0])).all()

    @pytest.mark.parametrize("kind", ["table", "images"])
    def test_one_row_cannot_be_learnt_from(self, kind):
        with pytest.raises(ValueError, match="a fit needs at least 2 rows"):
            make(kind).fit(KINDS[kind][0][:1])

    @pytest.mark.parametrize("kind", KINDS)
    def test_one_row_can_be_scored(self, fitted, kind):
        rows = KINDS[kind][0][:1]
        assert fitted[kind].anomaly_score(rows).shape == (1,)
        assert fitted[kind].predict(rows).shape == (1,)
        assert len(fitted[kind].transform(rows)) == 1

    @pytest.mark.parametrize("rows", [np.empty((0, 5)), np.empty((5, 0))])
    def test_nothing_is_refused(self, fitted, rows):
        with pytest.raises(ValueError, match=r"0 (sample|feature)"):
            make().fit(rows)
        with pytest.raises(ValueError, match=r"0 (sample|feature)"):
            fitted["table"].anomaly_score(rows)

    @pytest.mark.parametrize("kind", ["table", "mlp"])
    def test_constant_columns(self, kind):
        rows = table()
        rows[:, 2] = 7.0
        with pytest.warns(UserWarning, match=r"these columns are constant among the training rows: 'x3';"):
            detector = make(kind).fit(rows)
        odd = rows[:1].copy()
        odd[0, 2] = 8.0
        assert np.isfinite(detector.anomaly_score(odd)).all()
        assert detector.anomaly_score(odd) != detector.anomaly_score(rows[:1])

    @pytest.mark.filterwarnings("ignore:contamination")
    @pytest.mark.parametrize("kind", ["table", "mlp"])
    def test_all_rows_alike(self, kind):
        """Nothing can be learnt, and nothing may be NaN."""
        rows = np.full((20, 3), 2.0)
        with pytest.warns(UserWarning, match="columns are constant among the training rows: 'x1', 'x2', 'x3';"):
            detector = make(kind, steps=100).fit(rows)
        scores = detector.anomaly_score(np.vstack([rows, rows + 5]))
        assert np.isfinite(scores).all()
        assert scores[20:].min() > scores[:20].max()

    def test_constant_column_beside_missing_values(self):
        rows = table()
        rows[:, 4], rows[3, 1] = 7.0, NAN
        with pytest.warns(UserWarning, match="columns are constant among the training rows: 'x5';"):
            make().fit(rows)

    @pytest.mark.filterwarnings("ignore:contamination")
    def test_constant_grey_images(self):
        """The warning names the one channel, for which a grey image has no axis."""
        rows = np.ones((10, 8, 9))
        with pytest.warns(UserWarning, match="constant"):
            make("grey images", steps=100).fit(rows)

    def test_duplicate_columns_and_rows(self):
        rows = np.repeat(np.hstack([table(), table()]), 3, axis=0)
        assert np.isfinite(make().fit(rows).training_scores_).all()

    def test_values_of_very_different_sizes(self):
        rows = table() * np.array([1e-12, 1.0, 1e12, 1e100, 1e-100])
        np.testing.assert_allclose(make().fit(rows).training_scores_, train().training_scores_, rtol=1e-3)

    def test_values_out_of_all_bounds_have_finite_scores(self, fitted):
        for kind in ("table", "mlp", "series", "images"):
            rows = KINDS[kind][0][:2] * 1e300
            assert np.isfinite(fitted[kind].anomaly_score(rows)).all()

    def test_grey_images_are_images_of_one_channel(self, fitted):
        rows, _ = KINDS["grey images"]
        with_channel = make("grey images").fit(rows[:, None])
        assert with_channel.settings_.network == "conv"
        np.testing.assert_array_equal(with_channel.training_scores_, fitted["grey images"].training_scores_)

    def test_series_need_their_network_by_name(self):
        assert train("series").settings_.network == "conv1d"
        with pytest.raises(ValueError, match="network 'conv1d' takes rows of shape"):
            make("series").fit(table())

    def test_channels_last_is_refused_with_advice(self):
        with pytest.raises(ValueError, match=r"channels last; pass X.transpose\(0, 3, 1, 2\) instead"):
            make("images").fit(np.zeros((10, 28, 28, 3)))

    @pytest.mark.parametrize("shape", [(10,), (10, 1, 2, 3, 4)])
    def test_other_axes_are_refused(self, shape):
        with pytest.raises(ValueError, match=r"(Expected 2D array|the rows must be \(n, d\), \(n, H, W\))"):
            make().fit(np.zeros(shape))

    @pytest.mark.parametrize(
        ("kind", "shape"),
        [("table", (3, 4)), ("images", (3, 2, 8, 8)), ("grey images", (3, 8, 8)), ("table", (3, 5, 1))],
    )
    def test_other_shapes_are_refused_at_scoring(self, fitted, kind, shape):
        with pytest.raises(ValueError, match=r"(has 4 features|the rows have shape .*; the detector was fitted on)"):
            fitted[kind].anomaly_score(np.zeros(shape))

    @pytest.mark.parametrize("value", [np.inf, -np.inf])
    def test_infinite_values_are_refused_by_row_and_column(self, fitted, value):
        rows = table()
        rows[7, 2] = value
        for call in (make().fit, fitted["table"].anomaly_score):
            with pytest.raises(ValueError, match="row 7, column 'x3': the value is infinite"):
                call(rows)
        images = KINDS["images"][0].copy()
        images[4, 1, 2, 3] = value
        for call in (make("images").fit, fitted["images"].anomaly_score):
            with pytest.raises(ValueError, match="row 4: the value is infinite"):
                call(images)

    def test_text_without_names_is_refused(self):
        """In a frame it is a category, see test_columns.py."""
        with pytest.raises(ValueError, match=r"(string|text|numeric)"):
            make().fit(np.array([["a", "b"], ["c", "d"]]))


class TestMissing:
    def test_are_learnt_from_and_scored(self, fitted):
        detector, rows = fitted["table with gaps"], KINDS["table with gaps"][0]
        assert np.isfinite(detector.training_scores_).all()
        assert np.isfinite(detector.anomaly_score(np.full((1, 5), NAN))).all()
        assert len(detector.features_.flagged) == 5
        assert np.isnan(rows).any()

    def test_gap_where_there_was_none_is_warned_of_and_scored(self, fitted):
        rows = table(2)
        rows[1, 3] = NAN
        with pytest.warns(UserWarning, match="column 'x4' has missing values but had none in training"):
            scores = fitted["table"].anomaly_score(rows)
        assert np.isfinite(scores).all()

    def test_column_without_a_value_is_refused(self):
        rows = table()
        rows[:, 1] = NAN
        with pytest.raises(ValueError, match="column 'x2' has no value in any training row; drop it"):
            make().fit(rows)

    @pytest.mark.parametrize("kind", ["images", "grey images", "small images", "series"])
    def test_in_images_and_series_are_refused(self, fitted, kind):
        """When scoring, too: NaN is no score."""
        rows = KINDS[kind][0].copy()
        rows[5, 0, 0] = NAN
        for call in (make(kind).fit, fitted[kind].anomaly_score, fitted[kind].predict):
            with pytest.raises(ValueError, match="row 5 has missing values"):
                call(rows)

    def test_nullable_columns_of_pandas(self):
        frame = pd.DataFrame(table(), columns=list("abcde"))
        frame["a"] = pd.array([None, *range(59)], dtype="Int64")
        scores = make().fit(frame).training_scores_
        np.testing.assert_allclose(scores, make().fit(frame.astype(float)).training_scores_)


FRAMES = {
    "pandas": lambda rows, names: pd.DataFrame(rows, columns=names),
    "polars": lambda rows, names: pl.DataFrame(rows, schema=names),
    "arrow": lambda rows, names: pa.table(dict(zip(names, rows.T, strict=True))),
}


NAMES = ["a", "b", "größe", "d", "e"]


class TestNames:
    @pytest.mark.parametrize("frame", ["pandas", "polars"])
    def test_are_learnt_and_compared(self, fitted, frame):
        build = FRAMES[frame]
        detector = make().fit(build(table(), NAMES))
        assert detector.feature_names_in_.tolist() == NAMES
        np.testing.assert_array_equal(detector.training_scores_, fitted["table"].training_scores_)
        np.testing.assert_array_equal(detector.anomaly_score(build(table(), NAMES)), detector.training_scores_)
        with pytest.raises(ValueError, match=r"feature names should match(.|\n)*(unseen at fit|missing)(.|\n)*z"):
            detector.anomaly_score(build(table(), [*NAMES[:4], "z"]))
        with pytest.raises(ValueError, match="must be in the same order"):
            detector.anomaly_score(build(table(), NAMES[::-1]))

    def test_arrow_tables_are_taken(self, fitted):
        rows = FRAMES["arrow"](table(), NAMES)
        detector = make().fit(rows)
        np.testing.assert_array_equal(detector.training_scores_, fitted["table"].training_scores_)
        np.testing.assert_array_equal(detector.anomaly_score(rows), detector.training_scores_)

    def test_errors_and_warnings_name_the_column(self):
        rows = table()
        rows[4, 2] = np.inf
        with pytest.raises(ValueError, match="row 4, column 'größe': the value is infinite"):
            make().fit(FRAMES["pandas"](rows, NAMES))
        rows[:, 2] = 1.0
        with pytest.warns(UserWarning, match="'größe'"):
            make().fit(FRAMES["pandas"](rows, NAMES))

    def test_names_missing_at_scoring_are_warned_of(self):
        detector = make().fit(FRAMES["pandas"](table(), NAMES))
        with pytest.warns(UserWarning, match="does not have valid feature names"):
            detector.anomaly_score(table())

    def test_latents_have_names(self, fitted):
        names = fitted["mlp"].get_feature_names_out()
        assert names.tolist() == [f"tolldetector{i}" for i in range(fitted["mlp"].transform(table()).shape[1])]

    @pytest.mark.parametrize("library", ["pandas", "polars"])
    def test_set_output(self, library):
        detector = train("mlp").set_output(transform=library)
        frame = detector.transform(table())
        assert list(frame.columns) == detector.get_feature_names_out().tolist()
        assert frame.shape[0] == 60
