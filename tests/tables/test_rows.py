"""What rows a detector takes: types, shapes, gaps, names, and frames of mixed columns; each mistake by its place."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from detectors import KINDS, NAN, STEPS, PressedAt, assert_same_bits, make, people, pickled, table, train
from sklearn.base import clone

import tollad.detector.estimator
from tollad import TollDetector

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

    def test_constant_grey_images(self):
        """Their channel has no name among the lines of the image."""
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


@pytest.fixture(scope="module")
def of_people():
    return make(steps=40).fit(people())


class TestFrames:
    """Frames with columns that are no numbers; what becomes of each column is in test_columns.py."""

    def test_attributes(self, of_people):
        assert of_people.feature_names_in_.tolist() == ["age", "city", "seen", "member"]
        assert [column.kind for column in of_people.columns_] == ["number", "category", "date", "number"]
        assert of_people.n_features_in_ == 4
        np.testing.assert_array_equal(of_people.anomaly_score(people()), of_people.training_scores_)

    def test_rows_alone(self, of_people):
        alone = np.concatenate([of_people.anomaly_score(people().iloc[i : i + 1]) for i in range(80)])
        np.testing.assert_allclose(alone, of_people.training_scores_, rtol=1e-7)
        np.testing.assert_allclose(of_people.anomaly_score(people().iloc[::-1])[::-1], alone, rtol=1e-7)

    def test_what_was_never_seen_is_odd(self, of_people):
        row = people().iloc[1:2]
        elsewhere, later = row.assign(city="Lima"), row.assign(seen=pd.Timestamp("2044-01-01"))
        for odd in (elsewhere, later):
            assert of_people.anomaly_score(odd) > of_people.anomaly_score(row)

    @pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas], ids=["polars", "arrow"])
    def test_other_libraries(self, of_people, convert):
        np.testing.assert_allclose(of_people.anomaly_score(convert(people())), of_people.training_scores_, rtol=1e-12)
        np.testing.assert_array_equal(
            make(steps=40).fit(convert(people())).training_scores_, of_people.training_scores_
        )

    def test_kinds_may_be_given(self):
        detector = make(columns={"age": "drop", "member": "category"}).fit(people())
        assert [column.kind for column in detector.columns_] == ["drop", "category", "date", "category"]
        other = people().assign(age=1e9)
        np.testing.assert_array_equal(detector.anomaly_score(other), detector.training_scores_)

    def test_other_columns_are_refused(self, of_people):
        with pytest.raises(ValueError, match=r"^the table lacks columns that the model was fitted on: 'city'; .*$"):
            of_people.anomaly_score(people().drop(columns="city"))
        with pytest.raises(ValueError, match=r"^the table has columns that the model was not fitted on: 'zip'; .*$"):
            of_people.explain(people().assign(zip="53111"))
        with pytest.raises(ValueError, match="fitted on a frame with named columns; give one with the same columns"):
            of_people.anomaly_score(np.zeros((2, 4)))

    def test_columns_come_in_any_order_and_dropped_ones_need_not_come(self):
        detector = make(columns={"age": "drop"}).fit(people())
        shuffled = people()[["member", "seen", "city"]]
        np.testing.assert_array_equal(detector.anomaly_score(shuffled), detector.training_scores_)
        assert detector.explain(shuffled).names == ("age", "city", "seen", "member")

    @pytest.mark.parametrize("columns", [{"age": "drop"}, {"nothing": "number"}])
    def test_kinds_set_after_the_fit_change_nothing_before_the_next(self, fitted, of_people, columns):
        """As everywhere in scikit-learn: parameters count at the next fit."""
        for detector, rows in ((fitted["table"], table()), (of_people, people())):
            changed = copy.deepcopy(detector).set_params(columns=columns)
            np.testing.assert_array_equal(changed.anomaly_score(rows), detector.training_scores_)
            np.testing.assert_array_equal(changed.explain(rows).scores, detector.training_scores_)

    def test_a_column_of_numbers_that_changed_its_type_is_named(self):
        frame = pd.DataFrame(table(), columns=NAMES)
        detector = make().fit(frame)
        words = frame.assign(d=["low", *["high"] * 59])
        for method in (detector.anomaly_score, detector.predict, detector.explain):
            with pytest.raises(ValueError, match=r"^row 0, column 'd': 'low' is not a number .*; correct it.*$"):
                method(words)
        with pytest.raises(ValueError, match=r"^row 0, column 'd': '2024-01-01 .*' is not a number"):
            detector.predict(frame.assign(d=pd.Timestamp("2024-01-01")))
        digits = frame.assign(d=frame["d"].map(repr))
        np.testing.assert_array_equal(detector.anomaly_score(digits), detector.training_scores_)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"city": 5}, r"^row 0, column 'city': '5' is int64, but the column is a category of texts; give texts$"),
            ({"age": "old"}, r"^row 0, column 'age': 'old' is not a number .*$"),
            ({"seen": "2024-02-30"}, r"^row 0, column 'seen': '2024-02-30' is not a date .*$"),
            ({"seen": 3.5}, r"^row 0, column 'seen': '3.5' is not a date .*$"),
        ],
    )
    def test_another_column_that_changed_its_type_is_named(self, of_people, changes, words):
        with pytest.raises(ValueError, match=words):
            of_people.anomaly_score(people().assign(**changes))

    def test_one_category_only_is_warned_of(self):
        with pytest.warns(UserWarning, match=r"columns are constant among the training rows: 'city=Bonn'; they tell"):
            detector = make(steps=40).fit(people().assign(city="Bonn"))
        row = people().iloc[1:2]
        assert detector.anomaly_score(row.assign(city="Rome")) > detector.anomaly_score(row.assign(city="Bonn"))

    @pytest.mark.parametrize("levels", [None, [f"c{i}" for i in range(500)]])
    def test_as_many_categories_as_rows_are_refused(self, levels):
        codes = [f"c{i}" for i in range(80)]
        with pytest.raises(ValueError, match=r"^column 'city' holds another text in every row, as an identifier .*$"):
            make().fit(people().assign(city=codes if levels is None else pd.Categorical(codes, levels)))

    def test_more_categories_declared_than_rows(self):
        declared = pd.Categorical(people()["city"], ["Bonn", "Oslo", "Rome", *(f"c{i}" for i in range(500))])
        detector = make(steps=40).fit(people().assign(city=declared))
        np.testing.assert_array_equal(detector.training_scores_, make(steps=40).fit(people()).training_scores_)

    @pytest.mark.parametrize("nothing", [None, NAN, pd.NaT, ""])
    def test_all_rows_missing_are_refused(self, nothing):
        with pytest.raises(ValueError, match=r"^column 'city' has no value in any training row; drop it with .*$"):
            make().fit(people().assign(city=nothing))
        with pytest.raises(ValueError, match=r"^columns? 'age'.* ha(s|ve) no value in any training row; drop .*$"):
            make().fit(people().assign(age=nothing, city=nothing, seen=nothing, member=nothing))

    @pytest.mark.filterwarnings("ignore:columns? .* ha(s|ve) missing values but had none in training:UserWarning")
    def test_all_values_of_a_row_missing_can_be_scored(self, of_people):
        nothing = people().iloc[:2].assign(age=None, city=None, seen=None, member=None)
        assert np.isfinite(of_people.anomaly_score(nothing)).all()

    def test_rows_held_out_for_a_rate_are_to_the_detector_what_later_rows_are(self):
        """A level that only they have is unknown: were it counted, they would look more usual than new rows."""
        streets = np.random.default_rng(0).integers(300, size=200).astype(str)
        frame = people(200).assign(city=np.char.add("s", streets)).drop(columns="seen")
        detector = make(false_alarm_rate=0.1).fit(frame)
        trained, held_out = detector._held_out(len(frame))
        straight = make().fit(frame.iloc[trained])
        assert detector.columns_ == straight.columns_
        assert_same_bits(detector, straight.calibrate(frame.iloc[held_out], false_alarm_rate=0.1), frame)
        np.testing.assert_array_equal(detector.calibration_scores_, straight.calibration_scores_)

    def test_no_rows_cannot_be_scored(self, of_people):
        with pytest.raises(ValueError, match="the table has no rows; give at least one"):
            of_people.anomaly_score(people().iloc[:0])

    def test_kinds_of_columns_that_are_named_by_numbers(self):
        frame = people().set_axis(range(people().shape[1]), axis=1)
        detector = make(columns={0: "drop"}).fit(frame)
        assert detector.columns_[0].kind == "drop"

    def test_names_of_an_arrow_batch_count(self):
        frame = pd.DataFrame(table(), columns=list("abcde"))
        batch = pa.RecordBatch.from_pandas(frame, preserve_index=False)
        detector = make().fit(batch)
        assert_same_bits(detector, make().fit(frame), frame)
        with pytest.raises(ValueError, match="same order"):
            detector.predict(batch.select(list("bacde")))

    def test_gaps_of_arrow_booleans(self):
        frame = pa.table({"a": [True, False, None] * 20, "b": table()[:60, 0]})
        values = np.column_stack([[1.0, 0.0, NAN] * 20, table()[:60, 0]])
        np.testing.assert_array_equal(make().fit(frame).training_scores_, make().fit(values).training_scores_)

    def test_dates_beyond_the_calendar_are_refused(self):
        seen = people()["seen"].to_numpy().astype("datetime64[s]")
        seen[3] = np.datetime64("20000-01-01")
        with pytest.raises(ValueError, match=r"^row 3, column 'seen': the date is not in the years 1 to 9999; correct"):
            make().fit(people().assign(seen=seen))

    def test_impossible_dates_are_refused(self):
        texts = people()["seen"].dt.strftime("%Y-%m-%d")
        texts[7] = "2023-02-30"
        with pytest.raises(ValueError, match=r"^row 7, column 'seen': '2023-02-30' is not a date like .*$"):
            make().fit(people().assign(seen=texts))

    def test_kinds_for_an_array_are_refused(self):
        with pytest.raises(ValueError, match="columns= names columns of a frame; the rows are an array"):
            make(columns={"age": "drop"}).fit(table())

    def test_reconstruct_speaks_the_language_of_the_frame(self, of_people):
        age, city, _, _ = of_people.reconstruct(people()).T
        assert np.isfinite(age.astype(float)).all()
        assert set(city) <= {"Bonn", "Oslo", "Rome"}

    @pytest.mark.parametrize("copier", [copy.deepcopy, pickled])
    def test_copies(self, of_people, copier):
        assert_same_bits(copier(of_people), of_people, people())

    def test_save(self, of_people, tmp_path):
        of_people.save(tmp_path / "m")
        loaded = TollDetector.load(tmp_path / "m")
        assert_same_bits(loaded, of_people, people())
        assert loaded.columns_ == of_people.columns_
        assert_same_bits(clone(loaded).fit(people()), of_people, people())

    def test_partial_fit(self, of_people):
        detector = copy.deepcopy(of_people).partial_fit(people(40, seed=1))
        assert detector.training_scores_.shape == (40,)

    def test_refit_on_an_array_forgets_the_columns(self, of_people):
        detector = copy.deepcopy(of_people).set_params(steps=STEPS).fit(table())
        assert not hasattr(detector, "columns_")
        assert_same_bits(detector, train(), table())

    def test_checkpoint(self, of_people, tmp_path, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(tollad.detector.estimator, "Batches", PressedAt)
            with pytest.raises(KeyboardInterrupt):
                make(steps=40).fit(people(), checkpoint=tmp_path / "c")
        assert_same_bits(make(steps=40).fit(people(), checkpoint=tmp_path / "c"), of_people, people())
        with pytest.raises(ValueError, match="other data or other parameters"):
            make(steps=40).fit(people(seed=1), checkpoint=tmp_path / "c")
