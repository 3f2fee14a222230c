"""From tables, images and series to what a network takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tollad.tables.checks import check_axes, refuse_infinite
from tollad.tables.features import Features, column_names
from tollad.tables.fit_features import fit_features

NAN = float("nan")
CONSTANT = "constant among the training rows"
X = np.array([[1.0, 10.0], [3.0, 20.0], [5.0, 60.0], [7.0, 70.0]])
GAPS = np.array([[1.0, 10.0], [3.0, NAN], [5.0, 60.0], [NAN, 70.0], [9.0, 10.0]])


def fit(rows, preprocess="auto", **options):
    names = column_names(None, rows.shape[1])
    return fit_features(rows, preprocess, names, **options)


class TestStandardise:
    @pytest.mark.parametrize("preprocess", ["auto", "standard"])
    def test_columns_of_tables(self, preprocess):
        (inputs,) = fit(X, preprocess).transform(X)
        np.testing.assert_allclose(inputs.mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(inputs.std(0), 1)

    @pytest.mark.parametrize("shape", [(3, 5), (3, 4, 5)])
    def test_channels_of_series_and_images(self, shape):
        rows = np.random.default_rng(0).normal(size=(6, *shape)) * np.arange(1, 4).reshape(3, *[1] * (len(shape) - 1))
        (inputs,) = fit(rows).transform(rows)
        axes = (0, *range(2, rows.ndim))
        np.testing.assert_allclose(inputs.mean(axes), 0, atol=1e-12)
        np.testing.assert_allclose(inputs.std(axes), 1)

    @pytest.mark.parametrize("arcsinh", [False, True])
    def test_columns_of_one_channel_alike(self, arcsinh):
        """Two channels of three steps each, side by side."""
        rows = np.random.default_rng(0).normal(size=(50, 6)) * [1, 2, 3, 40, 50, 60] + [0, 1, 2, 3, 4, 5]
        features = fit(rows, n_channels=2, arcsinh=arcsinh)
        for view in features.transform(rows):
            channels = view.reshape(50, 2, 3)
            np.testing.assert_allclose(channels.mean((0, 2)), 0, atol=1e-12)
            np.testing.assert_allclose(channels.std((0, 2)), 1)
        assert [len(np.unique(part)) for part in (features.mean, features.scale)] == [2, 2]

    def test_values_of_windows_are_clipped_far_out_and_come_back(self):
        rows = np.random.default_rng(0).normal(size=(50, 6))
        features = fit(rows, n_channels=2, arcsinh=True)
        spike = np.zeros((1, 6))
        spike[0, 1] = 500.0
        assert features.transform(spike)[0].max() > 400
        for view in range(2):
            np.testing.assert_allclose(features.inverse(features.transform(spike)[view], view), spike, atol=1e-9)
        assert features.transform(spike * 1e9)[0].max() == 1000

    def test_a_channel_is_constant_if_all_of_its_columns_are(self):
        rows = np.random.default_rng(0).normal(size=(50, 4))
        rows[:, 1], rows[:, 2:] = 7.0, 3.0
        with pytest.warns(UserWarning, match=CONSTANT) as caught:
            features = fit(rows, n_channels=2)
        assert "'x3', 'x4';" in str(caught[0].message)
        assert features.limit.tolist() == [1000, 1000, 10, 10]

    @pytest.mark.parametrize("shape", [(9, 5), (9, 2, 3)])
    def test_what_is_no_window_of_so_many_channels(self, shape):
        with pytest.raises(ValueError, match=r"n_channels=2 is for flat windows, rows \(n, 2 \* w\) of numbers"):
            fit(np.random.default_rng(0).normal(size=shape), n_channels=2)

    def test_none_takes_values_as_they_are(self):
        assert np.array_equal(fit(X, None).transform(X)[0], X)
        assert not len(fit(X, None).mean)

    def test_constants_come_from_the_training_rows(self):
        features = fit(X)
        np.testing.assert_allclose(features.transform(X[:1])[0], features.transform(X)[0][:1])

    @given(
        rows=hnp.arrays(np.float64, (5, 2), elements=st.floats(-1e6, 1e6)).filter(
            lambda r: (np.ptp(r, axis=0) > 1).all()
        ),
        query=hnp.arrays(np.float64, (3, 2), elements=st.floats(allow_infinity=False)),
    )
    @pytest.mark.parametrize("arcsinh", [False, True])
    def test_inputs_are_finite_and_bounded_whatever_the_row(self, rows, query, arcsinh):
        features = fit(rows, arcsinh=arcsinh)
        for view in features.transform(query):
            assert np.isfinite(view).all()
        assert np.abs(features.transform(query)[0]).max() <= 50

    def test_far_out_values_are_clipped(self):
        (inputs,) = fit(X).transform(np.array([[1e300, -1e300]]))
        assert inputs.tolist() == [[50.0, -50.0]]

    def test_values_that_differ_too_little_to_standardise_are_refused_by_name(self):
        rows = X.copy()
        rows[:, 1] = np.where(np.arange(len(rows)) % 2, 1e-170, -1e-170)
        with pytest.raises(ValueError, match="column 'x2': the values differ too little to standardise; rescale"):
            fit(rows)

    def test_values_too_large_to_standardise_are_refused_by_name(self):
        with pytest.raises(
            ValueError, match="column 'x2': the values are too large to standardise; rescale the column"
        ):
            fit(np.array([[1.0, 1e308], [2.0, -1e308]]))

    def test_integers_and_booleans(self):
        np.testing.assert_allclose(fit(X.astype(int)).transform(X.astype(int)), fit(X).transform(X))
        truth = np.array([[True, False], [False, False], [False, True]])
        np.testing.assert_allclose(fit(truth).transform(truth), fit(truth * 1.0).transform(truth * 1.0))

    def test_small_floats_are_averaged_in_double_precision(self):
        rows = (10_000 + np.random.default_rng(0).normal(size=(1000, 1))).astype(np.float32)
        (inputs,) = fit(rows).transform(rows)
        assert abs(inputs.mean()) < 1e-9
        assert inputs.dtype == np.float64

    def test_rows_are_not_changed(self):
        rows = GAPS.copy()
        rows.setflags(write=False)
        fit(rows).transform(rows)


class TestHalfStandardise:
    """Many columns that may share a unit are divided by the root of their own spread times the mean spread."""

    rows = np.random.default_rng(0).normal(size=(80, 70)) * np.concatenate([np.full(10, 0.02), np.linspace(1, 8, 60)])

    @pytest.mark.parametrize("arcsinh", [False, True])
    def test_columns_that_vary_more_count_more(self, arcsinh):
        spread = self.rows.std(0)
        for view in fit(self.rows, arcsinh=arcsinh).transform(self.rows):
            np.testing.assert_allclose(view.std(0), np.maximum(np.sqrt(spread / spread.mean()), 0.2))
            np.testing.assert_allclose(view.mean(0), 0, atol=1e-12)

    @pytest.mark.filterwarnings(f"ignore:.*{CONSTANT}")
    def test_other_columns_are_standardised(self):
        binary, constant = (self.rows[:, :1] > 0).astype(float), np.full((80, 1), 7.0)
        features = fit(np.hstack([self.rows, binary, constant]))
        (inputs,) = features.transform(np.hstack([self.rows, binary, constant]))
        np.testing.assert_allclose(inputs[:, -2:].std(0), [1, 0])
        assert features.truths.tolist() == [False] * 70 + [True, False]
        assert not np.allclose(inputs[:, :70].std(0), 1)

    def test_missing_values_are_flagged_as_ever(self):
        gaps = self.rows.copy()
        gaps[:9, 0] = NAN
        (inputs,) = fit(gaps).transform(gaps)
        assert inputs.shape == (80, 71)
        np.testing.assert_allclose(inputs[:, 70].std(), 1)

    @pytest.mark.parametrize("preprocess", ["auto", "standard"])
    def test_few_columns_or_other_units_are_standardised(self, preprocess):
        other = self.rows * np.where(np.arange(70) == 69, 100, 1)
        for rows in (self.rows[:, :31], other) if preprocess == "auto" else (self.rows,):
            (inputs,) = fit(rows, preprocess).transform(rows)
            np.testing.assert_allclose(inputs.std(0), 1)


class TestConstantColumns:
    ROWS = np.array([[1.0, 5.0, 2.0], [2.0, 5.0, 2.0], [3.0, 5.0, 2.0]])

    def test_are_centred_and_named(self):
        with pytest.warns(UserWarning, match=rf"these columns are {CONSTANT}: 'x2', 'x3';"):
            features = fit(self.ROWS)
        (inputs,) = features.transform(np.array([[2.0, 5.0, 2.5]]))
        np.testing.assert_allclose(inputs, [[0.0, 0.0, 10.0]], atol=1e-12)

    @pytest.mark.parametrize(
        ("constant", "other"),
        [(1e-6, 1e-3), (100.0, 101.0), (0.0, 1e-3), (1e9, 1e9 - 1e5), (-7.0, 8.0)],
    )
    @pytest.mark.parametrize("arcsinh", [False, True])
    def test_another_value_lies_far_out_whatever_the_size(self, constant, other, arcsinh):
        with pytest.warns(UserWarning, match=CONSTANT):
            features = fit(np.full((7, 1), constant), arcsinh=arcsinh)
        usual, odd, rounded = features.transform(np.array([[constant], [other], [np.float32(constant)]]))[0].ravel()
        assert (abs(usual), abs(odd)) == (0, 10)
        assert abs(rounded) < 0.1

    def test_the_least_float_has_a_unit(self):
        with pytest.warns(UserWarning, match=CONSTANT):
            features = fit(np.full((7, 1), 5e-324))
        usual, odd = features.transform(np.array([[5e-324], [1e-3]]))[0].ravel()
        assert (round(usual, 9), odd) == (0, 10)

    def test_values_that_differ_by_rounding_are_one_value(self):
        rows = np.array([[0.3], [0.1 + 0.2], [0.3]])
        with pytest.warns(UserWarning, match=CONSTANT):
            features = fit(rows)
        assert np.abs(features.transform(rows)).max() < 1e-6
        with pytest.warns(UserWarning, match=CONSTANT):
            assert np.abs(fit(rows.astype(np.float32)).transform(rows)).max() < 0.1
        fit(np.array([[2**53], [2**53 + 2]]))

    def test_an_indicator_is_when_it_is_always_1(self):
        """The only level of a category; one that is always 0 is one level of several."""
        rows = np.array([[0.0, 1.0, 1.0], [1.0, 1.0, 0.0], [2.0, 1.0, 1.0]])
        with pytest.warns(UserWarning, match=rf"these columns are {CONSTANT}: 'x2';"):
            fit(rows, indicator=np.array([False, True, True]))
        fit(rows - [0, 1, 0], indicator=np.array([False, True, True]))

    def test_many_are_not_all_listed(self):
        with pytest.warns(UserWarning, match="'x5' and 3 more"):
            fit(np.ones((3, 8)))

    def test_beside_missing_values(self):
        """There are then more inputs than columns."""
        rows = np.array([[1.0, 5.0, NAN], [2.0, 5.0, 1.0], [3.0, 5.0, 2.0]])
        with pytest.warns(UserWarning, match=rf"these columns are {CONSTANT}: 'x2';"):
            features = fit(rows)
        assert features.transform(rows)[0].shape == (3, 4)

    @pytest.mark.parametrize("arcsinh", [False, True])
    def test_rounding_makes_no_column_vary(self, arcsinh):
        """The mean of many equal values is not always that value."""
        rows = np.hstack([np.full((7, 1), 0.1), np.arange(7.0)[:, None]])
        with pytest.warns(UserWarning, match=CONSTANT):
            features = fit(rows, arcsinh=arcsinh)
        for view in features.transform(rows):
            assert np.abs(view[:, 0]).max() < 1e-9

    def test_channel(self):
        rows = np.ones((4, 2, 3))
        rows[:, 0] = np.arange(12).reshape(4, 3)
        with pytest.warns(UserWarning, match=rf"these channels are {CONSTANT}: 'channel 2';"):
            fit(rows)


class TestMissing:
    def test_median_and_a_flag(self):
        features = fit(GAPS, None)
        assert features.fill.tolist() == [4.0, 35.0]
        assert features.flagged.tolist() == [0, 1]
        (inputs,) = features.transform(GAPS)
        assert inputs[1].tolist() == [3.0, 35.0, 0.0, 1.0]
        assert inputs[3].tolist() == [4.0, 70.0, 1.0, 0.0]

    def test_only_columns_that_had_gaps_are_flagged(self):
        rows = GAPS.copy()
        rows[3, 0] = 7.0
        features = fit(rows)
        assert features.flagged.tolist() == [1]
        assert features.transform(rows)[0].shape == (5, 3)

    def test_flags_are_standardised_too(self):
        (inputs,) = fit(GAPS).transform(GAPS)
        np.testing.assert_allclose(inputs.std(0), 1)

    @pytest.mark.parametrize("arcsinh", [False, True])
    def test_a_flag_is_never_far_out(self, arcsinh):
        rows = np.random.default_rng(0).normal(size=(3000, 2))
        rows[7, 1] = NAN
        for view in fit(rows, arcsinh=arcsinh).transform(rows):
            assert view[7, 2] == 3
            assert np.abs(view[:, :2]).max() > np.abs(np.delete(view[:, 2], 7)).max()

    def test_a_row_without_any_value_is_far_out(self):
        rows = GAPS.copy()
        rows[3, 0] = 7.0
        features = fit(rows)
        assert features.transform(np.full((1, 2), NAN))[0].tolist() == [[50.0, 50.0, 3.0]]
        # Where training rows may have had none, either, the flags say all.
        assert np.abs(fit(GAPS).transform(np.full((1, 2), NAN))).max() < 3

    def test_gap_in_a_column_that_had_none_is_filled(self):
        features = fit(X, None)
        assert features.transform(np.array([[NAN, 1.0]]))[0].tolist() == [[4.0, 1.0]]

    def test_such_a_gap_is_warned_of_by_name(self):
        features = fit(X)
        with pytest.warns(UserWarning, match="column 'x1' has missing values but had none in training.*median"):
            features.warn_unflagged(np.array([[NAN, 1.0]]), ["x1", "x2"])
        features.warn_unflagged(X, ["x1", "x2"])
        fit(GAPS).warn_unflagged(GAPS, ["x1", "x2"])

    def test_a_column_without_a_value_is_refused_by_name(self):
        with pytest.raises(ValueError, match="column 'x2' has no value in any training row; drop it"):
            fit(np.array([[1.0, NAN], [2.0, NAN]]))

    @pytest.mark.parametrize("shape", [(4, 2, 5), (4, 1, 3, 3)])
    def test_in_images_and_series_is_refused_by_row(self, shape):
        rows = np.zeros(shape)
        rows[2, 0, 1] = NAN
        with pytest.raises(ValueError, match=r"row 2 has missing values \(NaN\), which only tables may have; fill"):
            fit(rows)


class TestViews:
    LONG_TAILS = np.exp(3 * np.random.default_rng(0).normal(size=(500, 2)))

    def test_second_view_shortens_long_tails(self):
        features = fit(self.LONG_TAILS, arcsinh=True)
        plain, arcsinh = features.transform(self.LONG_TAILS)
        assert features.n_views == 2
        assert np.abs(arcsinh).max() < np.abs(plain).max()
        np.testing.assert_allclose(arcsinh.mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(arcsinh.std(0), 1)
        assert (np.argsort(arcsinh, axis=0) == np.argsort(plain, axis=0)).all()

    def test_the_rarer_a_category_the_odder_it_is(self):
        """In both views, and not without bounds where no training row has it."""
        rows = (np.arange(100)[:, None] < [0, 1, 5]).astype(float)
        features = fit(rows, arcsinh=True, indicator=np.ones(3, bool))
        for (view,) in features.transform(np.ones((1, 3))):
            assert (np.diff(view) < 0).all()
            assert view[0] < 5 * view[1]

    @pytest.mark.parametrize("rows", [X, np.ones((3, 2, 8)) * np.arange(8.0)])
    def test_one_view_where_values_are_taken_as_they_are(self, rows):
        assert fit(rows, None, arcsinh=True).n_views == 1

    def test_one_view_of_images(self):
        assert fit(np.random.default_rng(0).normal(size=(4, 1, 3, 3)), arcsinh=True).n_views == 1

    @pytest.mark.parametrize("view", [0, 1])
    @pytest.mark.parametrize("preprocess", ["auto", None])
    def test_inverse(self, preprocess, view):
        features = fit(GAPS, preprocess, arcsinh=True)
        if view >= features.n_views:
            view = 0
        rows = np.array([[2.0, 50.0], [30.0, -3.0]])
        back = features.inverse(features.transform(rows)[view], view)
        np.testing.assert_allclose(back, rows)

    def test_inverse_of_images(self):
        rows = np.random.default_rng(0).normal(size=(4, 2, 3, 3))
        features = fit(rows)
        np.testing.assert_allclose(features.inverse(features.transform(rows)[0], 0), rows)

    def test_inverse_of_anything_is_finite(self):
        features = fit(self.LONG_TAILS, arcsinh=True)
        assert np.isfinite(features.inverse(np.array([[1e300, -1e300]]), 1)).all()


@pytest.mark.parametrize("rows", [X, GAPS, np.arange(24.0).reshape(3, 2, 4)], ids=["table", "gaps", "series"])
@pytest.mark.parametrize("arcsinh", [False, True])
@pytest.mark.parametrize("preprocess", ["auto", None])
def test_arrays_are_the_way_to_a_file_and_back(rows, preprocess, arcsinh):
    features = fit(rows, preprocess, arcsinh=arcsinh)
    again = Features.from_arrays(features.arrays())
    np.testing.assert_array_equal(again.transform(rows), features.transform(rows))


class TestAxes:
    @pytest.mark.parametrize("shape", [(5, 3), (5, 8, 9), (5, 1, 8, 9), (5, 3, 8, 3), (5, 4, 4, 4), (5, 2, 8, 9)])
    def test_taken(self, shape):
        check_axes(shape)

    @pytest.mark.parametrize("shape", [(5,), (5, 1, 2, 3, 4)])
    def test_refused(self, shape):
        with pytest.raises(ValueError, match=r"the rows must be \(n, d\), \(n, H, W\), \(n, C, H, W\) or \(n, C, T\)"):
            check_axes(shape)

    @pytest.mark.parametrize("channels", [1, 3, 4])
    def test_channels_last(self, channels):
        with pytest.raises(ValueError, match=r"channels last; pass X.transpose\(0, 3, 1, 2\) instead"):
            check_axes((5, 28, 28, channels))


class TestInfinite:
    def test_in_a_table_is_refused_by_row_and_column(self):
        rows = X.copy()
        rows[2, 1] = -np.inf
        with pytest.raises(ValueError, match="row 2, column 'b': the value is infinite; correct it, or mark"):
            refuse_infinite(rows, ["a", "b"])

    def test_in_an_image_is_refused_by_row(self):
        rows = np.zeros((4, 1, 3, 3))
        rows[3, 0, 1, 1] = np.inf
        with pytest.raises(ValueError, match="row 3: the value is infinite"):
            refuse_infinite(rows, ["x1"])

    def test_advice_for_an_image_does_not_lead_to_the_next_error(self):
        """Missing values are for tables only."""
        rows = np.full((1, 1, 3, 3), np.inf)
        with pytest.raises(ValueError, match="row 0") as error:
            refuse_infinite(rows, ["x1"])
        assert "NaN" not in str(error.value)

    @pytest.mark.parametrize("rows", [X, GAPS, X.astype(int), X > 3])
    def test_finite_and_missing_values_pass(self, rows):
        refuse_infinite(rows, ["a", "b"])


def test_column_names():
    assert list(column_names(None, 3)) == ["x1", "x2", "x3"]
    assert list(column_names(np.array(["a", "b"], dtype=object), 2)) == ["a", "b"]
