"""Parts of the scores of every kind of detector, and warnings; reasons in words are in test_explain.py."""

from __future__ import annotations

import numpy as np
import pytest
from detectors import (
    KINDS,
    NAN,
    linear_network,
    make,
    people,
    table,
    train,
)

pytestmark = pytest.mark.usefixtures("global_random_states_stay")


@pytest.fixture(scope="module")
def of_people():
    return make().fit(people())


class TestExplain:
    """The parts of a score; the splitting itself is in the examples of `tollad.detector.explain`."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_parts_add_up_to_the_score(self, fitted, kind):
        rows = KINDS[kind][0][:20]
        explanation = fitted[kind].explain(rows)
        assert explanation.parts.shape == rows.shape
        assert (explanation.parts >= 0).all()
        assert (explanation.latent >= 0).all()
        total = explanation.parts.reshape(len(rows), -1).sum(1) + explanation.latent
        np.testing.assert_allclose(total, fitted[kind].anomaly_score(rows), rtol=1e-5)
        np.testing.assert_array_equal(explanation.scores, fitted[kind].anomaly_score(rows))
        np.testing.assert_array_equal(explanation.seen, rows)
        np.testing.assert_allclose(explanation.expected, fitted[kind].reconstruct(rows))

    def test_the_column_that_is_odd_is_named_first(self, fitted):
        row = table(1, seed=3)
        row[0, 3] = 40.0
        reasons = fitted["table"].explain(row).reasons(0)
        assert reasons[0].startswith("x4: 40, expected about ")
        assert len(reasons) == 3

    def test_a_gap_counts_to_its_column(self, fitted):
        """The flag of a missing value counts to its column, too."""
        row = KINDS["table with gaps"][0][:1].copy()
        row[0] = [0.1, NAN, 0.0, 0.1, 0.1]
        explanation = fitted["table with gaps"].explain(row)
        assert explanation.parts.shape == (1, 5)
        assert any("x2: missing" in reason for reason in explanation.reasons(0, most=5))

    def test_of_frames_in_their_own_words(self, of_people):
        odd = people().iloc[1:2].assign(city="Lima")
        explanation = of_people.explain(odd)
        assert explanation.names == ("age", "city", "seen", "member")
        assert explanation.parts.shape == (1, 4)
        total = explanation.parts.sum() + explanation.latent.sum()
        np.testing.assert_allclose(total, of_people.anomaly_score(odd)[0], rtol=1e-6)
        assert any(reason.startswith("city: Lima, ") for reason in explanation.reasons(0, most=4))

    def test_other_columns_are_refused(self, fitted):
        with pytest.raises(ValueError, match=r"^X has 4 features, but TollDetector is expecting 5 features as input"):
            fitted["table"].explain(np.zeros((2, 4)))
        with pytest.raises(
            ValueError, match=r"^the rows have shape \(2, 8, 8\); the detector was fitted on \(2, 8, 9\)"
        ):
            fitted["images"].explain(np.zeros((3, 2, 8, 8)))

    def test_of_images_there_are_no_words(self, fitted):
        with pytest.raises(ValueError, match="reasons in words are for tables"):
            fitted["images"].explain(KINDS["images"][0][:1]).reasons(0)


class TestWarnings:
    def test_point_to_the_line_of_the_user(self):
        """A warning names the line of the user, from however deep in the package it comes."""
        rows = table()
        rows[:, 2] = 7.0
        with pytest.warns(UserWarning, match="constant") as caught:
            detector = make().fit(rows)
        assert {warning.filename for warning in caught} == {__file__}
        rows[0, 1] = NAN
        for method in (detector.predict, detector.anomaly_score):
            with pytest.warns(UserWarning, match="missing values but had none") as caught:
                method(rows)
            assert {warning.filename for warning in caught} == {__file__}

    @pytest.mark.parametrize(
        ("n_members", "words"), [(1, "the latent collapsed"), (2, "the latents of 2 of 2 members collapsed")]
    )
    def test_collapse(self, n_members, words):
        """A large beta and a linear encoder: the reconstructions of all rows become equal."""
        network = linear_network()
        with pytest.warns(UserWarning, match=f"{words} to a point.*lower beta or raise steps"):
            train("own modules", network=network, beta=1000.0, learning_rate=1e-2, steps=120, n_members=n_members)

    def test_no_improvement(self):
        with pytest.warns(UserWarning, match="training did not improve on the initial loss"):
            train("linear", learning_rate=100.0)

    def test_verbose_shows_progress(self, capsys):
        train(verbose=1)
        assert "step 6/6  loss " in capsys.readouterr().err
