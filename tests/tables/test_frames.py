"""Frames with columns that are no numbers, through the detector: kinds, order, copies, files."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from detectors import NAN, STEPS, PressedAt, assert_same_bits, make, people, pickled, table, train
from sklearn.base import clone

import tollad.detector.fitting
from tollad import TollDetector
from tollad.tables.frames import as_rows, to_arrow

pytestmark = pytest.mark.usefixtures("global_random_states_stay")


@pytest.fixture(scope="module")
def fitted():
    return {"table": train()}


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
        frame = pd.DataFrame(table(), columns=list("abcde"))
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
        each, together = (
            r"4 columns cannot be learnt from(\n- column '.*' has no value in .*){4}",
            "columns 'age'.* no value",
        )
        with pytest.raises(ValueError, match=f"^({each}|{together})"):
            make().fit(people().assign(age=nothing, city=nothing, seen=nothing, member=nothing))

    @pytest.mark.filterwarnings("ignore:columns? .* ha(s|ve) missing values but had none in training:UserWarning")
    def test_all_values_of_a_row_missing_can_be_scored(self, of_people):
        nothing = people().iloc[:2].assign(age=None, city=None, seen=None, member=None)
        assert np.isfinite(of_people.anomaly_score(nothing)).all()

    @pytest.mark.filterwarnings("ignore:contamination")
    def test_rows_held_out_for_a_rate_are_to_the_detector_what_later_rows_are(self):
        """A level that only they have is unknown: were it counted, they would look more usual than new rows."""
        streets = np.random.default_rng(0).integers(300, size=200).astype(str)
        frame = people(200).assign(city=np.char.add("s", streets)).drop(columns="seen")
        detector = make(false_alarm_rate=0.1).fit(frame)
        trained, held_out = detector._calibration_split(len(frame))
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
            patch.setattr(tollad.detector.fitting, "Batches", PressedAt)
            with pytest.raises(KeyboardInterrupt):
                make(steps=40).fit(people(), checkpoint=tmp_path / "c")
        assert_same_bits(make(steps=40).fit(people(), checkpoint=tmp_path / "c"), of_people, people())
        with pytest.raises(ValueError, match="other data or other parameters"):
            make(steps=40).fit(people(seed=1), checkpoint=tmp_path / "c")


@pytest.mark.parametrize("values", [[1.5, True], [False, 7], [np.True_, 0.5, None]])
def test_true_and_false_among_other_numbers_are_refused(values):
    for given in (pd.DataFrame({"x": pd.Series(values, dtype=object)}), [{"x": value} for value in values]):
        with pytest.raises(ValueError, match=r"column 'x' holds values of type bool.* and .*, which cannot be read"):
            to_arrow(as_rows(given))
    assert to_arrow(pd.DataFrame({"x": pd.Series([1.0, True, None], dtype=object)}))["x"].to_pylist() == [1, 1, None]


@pytest.mark.parametrize(
    "names", [[0, 1], [0.5, 1.5], pd.MultiIndex.from_tuples([("p", "a"), ("p", "b")]), pd.to_datetime([0, 1], unit="D")]
)
def test_names_that_are_no_text_are_compared(names):
    """scikit-learn compares names of text only, and would take the columns in any order."""
    frame = pd.DataFrame(table(d=3)[:, :2], columns=names)
    detector = make("mlp", n_members=1, latent_dim=2).fit(frame)
    again = pickled(detector)
    for wrong in (frame.iloc[:, ::-1], frame.set_axis(["u", "v"], axis=1)):
        for fitted in (detector, again):
            with pytest.raises(ValueError, match="give the same columns in the same order"):
                fitted.anomaly_score(wrong)
    np.testing.assert_array_equal(detector.anomaly_score(frame), again.anomaly_score(frame.to_numpy()))


@pytest.mark.parametrize("dtype", [">f8", ">i4", np.longdouble])
def test_numbers_of_other_machines(dtype):
    frame = pd.DataFrame({"a": np.arange(5).astype(dtype), "b": ["x"] * 5})
    assert to_arrow(frame)["a"].to_pylist() == [0, 1, 2, 3, 4]


def test_a_tensor_of_short_floats_and_a_reader():
    assert as_rows(torch.tensor([[1.5, 2.0]], dtype=torch.bfloat16, requires_grad=True)).tolist() == [[1.5, 2.0]]
    rows = pa.table({"a": [1.5, 2.0]})
    assert as_rows(rows.to_reader()) == rows
