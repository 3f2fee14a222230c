"""Scoring together: each request gets the bits that it gets alone, whichever engine scores."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from detectors import FEW_STEPS, people, table, train
from hypothesis import given, settings
from hypothesis import strategies as st

from tollad import TollDetector

pytest.importorskip("prometheus_client")
pytest.importorskip("fastapi")

from tollad.serve import worker as worker_of_rows
from tollad.serve.engines import DetectorEngine, GraphEngine, engine_of, specimens
from tollad.serve.limits import RefusedError
from tollad.serve.models import Served
from tollad.serve.worker import Worker

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worker")
    train("table", false_alarm_rate=0.2).save(folder / "numbers.tollad")
    TollDetector(steps=12, hidden=(8,), random_state=0).fit(people()).save(folder / "people.tollad")
    return [Served(str(folder / f"{name}.tollad"), lambda _: None) for name in ("numbers", "people")]


def answered_together(requests):
    """Return what is said of requests, each a model, rows and a number of reasons, that wait at the same time."""
    batches = []
    worker = Worker(lambda: batches.append(1))

    async def all_of_them():
        def rows(given):
            def read(_):
                if isinstance(given, Exception):
                    raise given
                return given

            return read

        jobs = [worker.answer(model, rows(given), n_reasons) for model, given, n_reasons in requests]
        return await asyncio.gather(*jobs, return_exceptions=True)

    return asyncio.run(all_of_them()), len(batches)


class TestWorker:
    @pytest.mark.parametrize("engine", ["torch", "onnxruntime"])
    @settings(max_examples=10, deadline=None)
    @given(data=st.data())
    def test_rows_have_the_same_bits_together_as_alone(self, models, engine, data):
        if engine == "onnxruntime":
            pytest.importorskip("onnxruntime")
        numbers, mixed = models
        for model in models:
            model.loaded.table.engine = (DetectorEngine if engine == "torch" else GraphEngine)(model.loaded.detector)
        sizes = data.draw(st.lists(st.integers(1, 30), min_size=2, max_size=8))
        requests = [
            (numbers, table(n, seed=n), 0) if at % 2 else (mixed, people(n, seed=n), 0) for at, n in enumerate(sizes)
        ]
        together, n_batches = answered_together(requests)
        assert n_batches <= len(sizes)
        for answer, (model, rows, _) in zip(together, requests, strict=True):
            alone = model.loaded.table.engine.answers(model.loaded.table.engine.feed(rows))
            assert [*answer.values] == [*alone]
            for name, values in alone.items():
                np.testing.assert_array_equal(answer.values[name], values)

    def test_a_request_that_is_refused_leaves_the_others(self, models):
        model, rows = models[0], table(3)
        requests = [
            (model, rows, 0),
            (model, ValueError("no rows"), 0),
            (model, RefusedError(413, "too many"), 0),
            (model, rows[:, :2], 0),
            (model, KeyError("a mistake of ours"), 0),
            (model, rows, 2),
        ]
        found, _ = answered_together(requests)
        assert [getattr(one, "status", None) for one in found] == [None, 422, 413, 422, None, None]
        assert isinstance(found[4], KeyError)
        np.testing.assert_array_equal(found[0].values["anomaly"], found[5].values["anomaly"])
        assert len(found[5].values["reasons"]) == 3

    def test_a_request_ends_with_the_model_it_began_with(self, models):
        """A model that is replaced while a request is read answers none of its rows."""
        model, worker, old = SimpleNamespace(loaded=models[0].loaded), Worker(lambda: None), models[0].loaded

        def read(loaded):
            model.loaded = models[1].loaded
            return table(2)

        answer = asyncio.run(worker.answer(model, read))
        assert answer.loaded is old

    def test_small_requests_do_not_wait_for_the_end_of_large_ones(self, models, monkeypatch):
        loaded, worker, ended = models[0].loaded, Worker(lambda: None), []
        engine, went = loaded.table.engine, threading.Event()
        right = type(engine).answers
        monkeypatch.setattr(worker_of_rows, "_MOST_ROWS", 40)

        def waiting(engine, inputs):
            went.wait(30)  # until all have come
            return right(engine, inputs)

        monkeypatch.setattr(type(engine), "answers", waiting)

        async def answered(n):
            answer = await worker.answer(SimpleNamespace(loaded=loaded), lambda _: table(n, seed=n))
            ended.append(n)
            return answer

        async def all_of_them():
            jobs = [asyncio.create_task(answered(n)) for n in (100, 3, 90, 5)]
            await asyncio.sleep(0)  # each is put in line
            went.set()
            return await asyncio.gather(*jobs)

        found = asyncio.run(all_of_them())
        assert ended == [3, 5, 100, 90]
        for n, answer in zip((100, 3, 90, 5), found, strict=True):
            wanted = right(engine, engine.feed(table(n, seed=n)))["anomaly_score"]
            np.testing.assert_array_equal(answer.values["anomaly_score"], wanted)


class TestEngine:
    @pytest.mark.parametrize("rows", [table(), people(), np.where(table() > 1.5, np.nan, table())])
    def test_the_graph_scores_where_its_answers_agree(self, rows, monkeypatch):
        pytest.importorskip("onnxruntime")
        detector = TollDetector(steps=12, hidden=(8,), random_state=0, false_alarm_rate=0.2).fit(rows)
        engine = engine_of(detector)
        assert engine.name == "onnxruntime"
        said = engine.answers(engine.feed(rows))
        np.testing.assert_allclose(said["anomaly_score"], detector.anomaly_score(rows), rtol=1e-6)
        np.testing.assert_array_equal(said["anomaly"], detector.predict(rows) == -1)
        right = GraphEngine.answers

        def wrong(graph, inputs):
            said = right(graph, inputs)
            return {**said, "anomaly": ~said["anomaly"]}

        monkeypatch.setattr(GraphEngine, "answers", wrong)
        assert engine_of(detector).name == "torch"

    def test_what_has_no_graph_is_scored_by_the_product(self):
        assert engine_of(train("own modules")).name == "torch"

    def test_specimens_are_rows_that_the_detector_takes(self):
        frame = people()
        frame["when"] = pd.date_range("2024-01-01", periods=len(frame), freq="7h", tz="Europe/Berlin")
        frame["written"] = [f"2024-03-{1 + i % 28:02}T{i % 24:02}:00:00+02:00" for i in range(len(frame))]
        detector = TollDetector(steps=12, hidden=(8,), random_state=0).fit(frame)
        assert len(detector.anomaly_score(specimens(detector))) == 64
