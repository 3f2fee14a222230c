"""A model as a step of a pipeline: Arrow in, Arrow out, without a cluster."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from detectors import FEW_STEPS, people, table, train
from tollad.ray import BatchScorer

from tollad import TollDetector

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)


def arrow(rows):
    return pa.table({f"x{column + 1}": rows[:, column] for column in range(rows.shape[1])})


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("scorer") / "m.tollad"
    train("table", false_alarm_rate=0.2).save(path)
    return path


class TestScorer:
    @pytest.mark.parametrize("as_bytes", [False, True])
    def test_answers_stand_beside_the_columns(self, path, as_bytes):
        detector, rows = TollDetector.load(path), table(9, seed=3)
        batch = arrow(rows).select(["x5", "x1", "x2", "x3", "x4"]).append_column("id", pa.array(range(9)))
        said = BatchScorer(path.read_bytes() if as_bytes else path)(batch)
        assert said.column_names == [*batch.column_names, "anomaly_score", "anomaly", "p_value"]
        np.testing.assert_array_equal(said["anomaly_score"], detector.anomaly_score(rows))
        np.testing.assert_array_equal(said["anomaly"], detector.predict(rows) == -1)
        np.testing.assert_array_equal(said["p_value"], detector.p_value(rows))

    def test_mixed_columns(self, tmp_path):
        frame = people()
        detector = TollDetector(steps=12, hidden=(8,), random_state=0).fit(frame)
        detector.save(tmp_path / "m.tollad")
        said = BatchScorer(tmp_path / "m.tollad")(pa.Table.from_pandas(frame, preserve_index=False))
        np.testing.assert_array_equal(said["anomaly_score"], detector.anomaly_score(frame))

    def test_no_rows_have_the_same_columns(self, path):
        scorer, batch = BatchScorer(path), arrow(table(3))
        assert scorer(batch[:0]).schema == scorer(batch).schema

    def test_columns_that_lack_or_are_taken(self, path):
        scorer, batch = BatchScorer(path), arrow(table(3))
        with pytest.raises(ValueError, match="the batch lacks columns that the model was fitted on: 'x2'"):
            scorer(batch.drop_columns("x2"))
        with pytest.raises(ValueError, match="column 'anomaly' is taken by the answers"):
            scorer(batch.append_column("anomaly", pa.array([1, 2, 3])))

    def test_models_of_something_else(self, tmp_path):
        train("grey images").save(tmp_path / "m.tollad")
        with pytest.raises(ValueError, match="for models of tables"):
            BatchScorer(tmp_path / "m.tollad")
