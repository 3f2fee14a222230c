"""The page of the web service, used in headless Chromium as a person would use it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from browsing import fact, rows, scored
from detectors import FEW_STEPS, people, table, train
from served import app_of, listening

from tollad import ImageDetector, SeriesDetector, TollDetector

pytest.importorskip("prometheus_client")
pytest.importorskip("uvicorn")

pytestmark = pytest.mark.filterwarnings(FEW_STEPS, "ignore:the false-alarm rate:UserWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("page")
    TollDetector(steps=12, hidden=(8,), false_alarm_rate=0.1, random_state=0).fit(people()).save(path / "people.tollad")
    train("table").save(path / "numbers.tollad")
    frame = people(70, seed=4)
    frame.loc[3, "age"], frame.loc[8, "city"] = 400.0, 'a "new", city'
    frame.to_csv(path / "new.csv", index=False)
    return path


@contextmanager
def served(folder, *names: str, **how) -> Iterator[str]:
    """Serve models for as long as the block runs; gives the address."""
    with listening(app_of(*(folder / f"{name}.tollad" for name in names), **how)) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def address(folder):
    with served(folder, "people") as url:
        yield url


class TestTable:
    def test_rows_have_the_scores_of_the_model_the_highest_first(self, folder, address, new_page):
        page = new_page(address)
        scored(page, folder / "new.csv")
        detector, frame = TollDetector.load(folder / "people.tollad"), people(70, seed=4)
        frame.loc[3, "age"], frame.loc[8, "city"] = 400.0, 'a "new", city'
        scores = detector.anomaly_score(frame)
        shown = rows(page)
        assert len(shown) == 50
        assert [row for row, _ in shown[:2]] == [4, 9]
        assert [score for _, score in shown] == sorted((score for _, score in shown), reverse=True)
        np.testing.assert_allclose([score for _, score in shown], scores[[row - 1 for row, _ in shown]], rtol=1e-3)
        assert fact(page, "Anomalies") == str((detector.predict(frame) == -1).sum())
        page.get_by_text("Show more rows").click()
        assert len(rows(page)) == 70
        page.locator("#heads").get_by_role("button", name="Score").click()
        assert rows(page)[-1][0] == 4

    def test_reasons_of_a_row_by_the_keyboard_alone(self, folder, address, new_page):
        page = new_page(address)
        scored(page, folder / "new.csv")
        page.locator("tr.row button").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(".why meter")
        assert page.locator(".why li").nth(1).inner_text().startswith("age: 400, expected about")
        page.keyboard.press("Enter")
        assert page.locator(".why").count() == 0

    def test_the_threshold_moves_and_comes_back(self, folder, address, new_page):
        page = new_page(address)
        scored(page, folder / "new.csv")
        at_first, own = fact(page, "Anomalies"), page.input_value("#exact")
        assert page.locator("#plot .own").count() == 1
        page.locator("#slide").focus()
        page.keyboard.press("End")
        assert fact(page, "Anomalies") == "0"
        page.keyboard.press("Home")
        assert fact(page, "Anomalies") == "70"
        page.get_by_role("button", name="Reset").click()
        assert (fact(page, "Anomalies"), page.input_value("#exact")) == (at_first, own)
        page.fill("#exact", "1e9")
        assert page.locator("tr.high").count() == 0
        box = page.locator("#plot").bounding_box()
        page.mouse.move(box["x"] + 1, box["y"] + 40)
        page.mouse.down()
        assert fact(page, "Share") == "100.0 %"

    def test_what_is_downloaded_has_the_threshold_that_was_chosen(self, folder, address, new_page):
        page = new_page(address)
        scored(page, folder / "new.csv")
        page.fill("#exact", "20")
        with page.expect_download() as download:
            page.get_by_role("button", name="Download CSV").click()
        assert download.value.suggested_filename == "new-scores.csv"
        found = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8"))))
        scores = TollDetector.load(folder / "people.tollad").anomaly_score
        assert [*found[0]] == ["age", "city", "seen", "member", "anomaly_score", "anomaly", "p_value"]
        assert found[8]["city"] == 'a "new", city'
        frame = people(70, seed=4)
        frame.loc[3, "age"], frame.loc[8, "city"] = 400.0, 'a "new", city'
        np.testing.assert_allclose([float(row["anomaly_score"]) for row in found], scores(frame), rtol=1e-6)
        assert [row["anomaly"] == "true" for row in found] == [float(row["anomaly_score"]) > 20 for row in found]

    def test_several_models_and_a_file_that_is_dropped(self, folder, new_page):
        with served(folder, "people", "numbers") as url:
            page = new_page(url)
            page.select_option("#model", "numbers")
            assert page.locator("#columns").inner_text() == "The model numbers takes 5 columns: x1, x2, x3, x4, x5"
            text = "x1,x2,x3,x4,x5\n" + "\n".join(",".join(map(repr, row)) for row in table(9, seed=3).tolist())
            page.evaluate(
                """text => {
                    const transfer = new DataTransfer();
                    transfer.items.add(new File([text], "dropped.csv"));
                    dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, cancelable: true }));
                }""",
                text,
            )
            page.wait_for_selector("#found:not([hidden])")
            assert len(rows(page)) == 9


class TestWhole:
    def test_a_series_shows_its_events(self, tmp_path, new_page):
        steps = np.sin(np.arange(300) / 4) + 0.1 * np.random.default_rng(0).normal(size=300)
        detector = SeriesDetector(window=10, stride=3, steps=8, hidden=(8,), random_state=0)
        detector.fit(pd.DataFrame({"a": steps})).save(tmp_path / "s.tollad")
        strange = pd.DataFrame({"a": np.where(np.arange(300) // 10 == 15, 8.0, steps)})
        strange.to_csv(tmp_path / "s.csv", index=False)
        with served(tmp_path, "s") as url:
            page = new_page(url)
            scored(page, tmp_path / "s.csv")
            assert page.locator("#course .event").count() == page.locator("#events li").count() >= 1
            assert page.locator("#events").inner_text().count("a: ") >= 1
            row = rows(page)[0][0]
            assert 140 < row < 175
            page.locator("tr.row").first.click()
            page.wait_for_selector(".why meter")

    def test_images_show_where_they_are_strange(self, tmp_path, new_page):
        image = pytest.importorskip("PIL.Image")
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 30, (40, 20, 27)).astype(np.uint8)
        pixels[:, 4:16, 8:11] += 180
        ImageDetector("gradients", random_state=0).fit(pixels).save(tmp_path / "i.tollad")
        pixels[1, 5:9] = 255
        for number in range(3):
            image.fromarray(pixels[number]).save(tmp_path / f"{number}.png")
        with served(tmp_path, "i") as url:
            page = new_page(url)
            scored(page, *(tmp_path / f"{number}.png" for number in range(3)))
            assert rows(page)[0][0] == 2
            page.locator("tr.row").first.click()
            page.wait_for_selector(".heat canvas")
            assert page.locator(".heat canvas").count() == 2


class TestErrors:
    def test_errors_are_the_server_s_own_words(self, folder, address, new_page, tmp_path):
        page = new_page(address)
        (tmp_path / "bad.csv").write_text("age,city,seen,member\nold,Bonn,2024-01-01,true\n", encoding="utf-8")
        page.set_input_files("#file", str(tmp_path / "bad.csv"))
        page.wait_for_selector("#error:not([hidden])")
        assert re.match("Body.csv, line 2, column 'age': 'old' is not a number", page.locator("#error").inner_text())
        scored(page, folder / "new.csv")
        assert page.locator("#error").is_hidden()

    def test_a_token_is_asked_for(self, folder, new_page):
        with served(folder, "people", token="secret") as url:
            page = new_page(url)
            page.fill("#token", "other")
            page.keyboard.press("Enter")
            page.wait_for_selector("#error:not([hidden])")
            page.fill("#token", "secret")
            page.keyboard.press("Enter")
            scored(page, folder / "new.csv")
            assert page.locator("#asking").is_hidden()

    def test_names_are_text_and_not_markup(self, address, new_page, tmp_path):
        page = new_page(address)
        (tmp_path / "m.csv").write_text("age,city,seen,member\n1,<img src=x onerror=alert(1)>,2024-01-01,true\n")
        scored(page, tmp_path / "m.csv")
        assert page.locator("#found img").count() == 0
        assert "<img src=x" in page.locator("tr.row").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_at_the_width_of_a_telephone(folder, address, new_page, scheme):
    page = new_page(address, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    scored(page, folder / "new.csv")
    assert page.evaluate("document.documentElement.scrollWidth") == 360

    def ground() -> float:
        return sum(map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]))

    assert (ground() > 384) == (scheme == "light")
    page.locator("#theme").click()
    assert (ground() > 384) == (scheme == "dark")
