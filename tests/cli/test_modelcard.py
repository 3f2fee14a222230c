"""``tollad info --card``: a model file as Markdown."""

from __future__ import annotations

import hashlib
import html
import re
from pathlib import Path

import numpy as np
import pytest
from commands import QUICK, done, refused_in, write_csv
from markdown_it import MarkdownIt

from tollad import ImageDetector, SeriesDetector, TollDetector

HOSTILE = ("<script>alert(1)</script>", "a|b", "[x](javascript:alert(1))", "![i](http://h/x.png)", "*a* _b_ `c` &amp;")


def card_of(model: Path, folder: Path) -> str:
    done("info", model, "--card", folder / "CARD.md")
    return (folder / "CARD.md").read_text(encoding="utf-8")


def shown(markdown: str) -> str:
    """The page that Markdown becomes where HTML is let through, as on most hosts of models."""
    body = markdown.split("---\n", 2)[2]
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(body)


def test_card_says_what_the_file_holds(fitted: Path, tmp_path: Path) -> None:
    card = card_of(fitted / "m.tollad", tmp_path)
    assert card.startswith("---\nlibrary_name: tollad\ntags:\n- anomaly-detection\n- one-class\n- tabular\n---\n")
    assert re.findall(r"^## (.+)$", card, re.MULTILINE) == [
        "Model description",
        "Training data",
        "Training procedure",
        "Decision",
        "Intended uses and limitations",
        "How to use the model",
        "Versions and digest",
        "Citation",
    ]
    model = TollDetector.load(fitted / "m.tollad")
    assert "data.csv: 60 of 80 rows. Those were taken whose kind is fine or good." in card
    assert "Left out: id." in card
    assert f"The threshold is {-model.offset_:.4g}: 10.0% of the training rows score higher" in card
    assert "| steps | 15 |" in card
    assert hashlib.sha256((fitted / "m.tollad").read_bytes()).hexdigest() in card
    assert "keeps no false-alarm rate" in card


def test_promise_is_told_from_none(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 2))
    TollDetector(steps=5, false_alarm_rate=0.1, random_state=0).fit(rows).save(tmp_path / "m", notes={"who": "me"})
    card = card_of(tmp_path / "m", tmp_path)
    assert "at most 10% of new normal rows score higher, by 12 calibration rows." in card
    assert "The false-alarm rate holds on average" in card
    assert "the file does not say from where" in card
    assert "| column 0, without a name | number |" in card
    assert "| who | me |" in card


def test_code_of_the_card_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    cases = {
        "table": (TollDetector(steps=5, random_state=0), rng.normal(size=(60, 3))),
        "series": (SeriesDetector(window=8, steps=5, random_state=0), rng.normal(size=(300, 2))),
        "images": (ImageDetector("gradients", random_state=0), rng.random((20, 1, 16, 16))),
    }
    for name, (detector, rows) in cases.items():
        detector.fit(rows).save(name)
        card = card_of(Path(name), tmp_path)
        (tmp_path / "CARD.md").unlink()
        (code,) = re.findall(r"^```python\n(.*?)^```", card, re.DOTALL | re.MULTILINE)
        names = {"new": rows}
        exec(code, names)
        assert np.array_equal(names["scores"], detector.anomaly_score(rows), equal_nan=True)
        assert names["anomalous"].shape == (len(rows),)


def test_what_a_file_holds_is_escaped(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=30).tolist() for name in HOSTILE} | {"when\r\n# none": ["x", "y"] * 15}
    done("fit", write_csv(tmp_path / "a.csv", columns), "-o", tmp_path / "m`<b>", *QUICK)
    page = shown(card_of(tmp_path / "m`<b>", tmp_path))
    assert not re.search(r"<(script|b|img)\b", page)
    assert re.findall(r'href="([^"]*)"', page) == ["https://arxiv.org/abs/2306.12627"] * 2
    cells = [html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", page)]
    assert {*HOSTILE, r"when\r\n# none"} <= {*cells}


def test_card_is_not_written_over_a_file(fitted: Path, tmp_path: Path) -> None:
    (tmp_path / "CARD.md").write_text("mine")
    assert "CARD.md" in refused_in(tmp_path, "info", fitted / "m.tollad", "--card", tmp_path / "CARD.md")
    done("info", fitted / "m.tollad", "--card", tmp_path / "CARD.md", "--force")
    assert "# m.tollad" in (tmp_path / "CARD.md").read_text(encoding="utf-8")


def test_card_is_not_the_model(tmp_path: Path, fitted: Path) -> None:
    (tmp_path / "m").write_bytes((fitted / "m.tollad").read_bytes())
    assert "it is a file that the command reads" in refused_in(
        tmp_path, "info", tmp_path / "m", "--card", tmp_path / "m", "--force"
    )
