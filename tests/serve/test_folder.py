"""What the page without a server has to know of a model, and what is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import refused_in, tollad
from detectors import FEW_STEPS, people, train

from tollad import SeriesDetector, TollDetector

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tollad.io.source import Source
from tollad.serve.folder import described, write_folder
from tollad.serve.page import folder_page
from tollad.serve.runtime import Runtime

pytestmark = pytest.mark.filterwarnings(FEW_STEPS, "ignore:the false-alarm rate:UserWarning")


@pytest.fixture
def web(tmp_path) -> Path:
    """A package with the parts that are copied, and nothing in them."""
    dist = tmp_path / "npm" / "dist"
    dist.mkdir(parents=True)
    for name in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
        (dist / name).write_text("")
    return dist.parent


def graph(detector: object, folder: Path) -> Path:
    detector.to_onnx(folder / "m.onnx")
    return folder / "m.onnx"


def test_the_page_holds_no_markup_of_the_model(tmp_path):
    frame = people().rename(columns={"age": "</script><img src=x>"})
    detector = TollDetector(steps=5, hidden=(4,), random_state=0).fit(frame)
    text = folder_page(described(Runtime.load(graph(detector, tmp_path)), "m"), "ort.js").decode()
    assert "<img" not in text
    assert text.count("</script>") == 3


def test_nothing_is_written_without_the_package(tmp_path):
    train("mlp").save(tmp_path / "m.tollad")
    said = refused_in(
        tmp_path, "export", tmp_path / "m.tollad", "--page", tmp_path / "page", "--onnxruntime-web", tmp_path
    )
    assert "holds no onnxruntime-web, by which the page computes; get it by: npm install onnxruntime-web@" in said


def test_an_incomplete_package_is_told_by_its_version(tmp_path, web):
    (web / "dist" / "ort.wasm.min.js").unlink()
    (web / "package.json").write_text('{"version": "1.2.0"}')
    with pytest.raises(FileNotFoundError, match=r"holds version 1\.2\.0 without ort\.wasm\.min\.js; install version"):
        write_folder(tmp_path / "m.onnx", tmp_path / "page", web)


@pytest.mark.parametrize(
    ("dialect", "words"),
    [
        ({"date_format": "%d.%m.%Y %Z"}, "dates written as '%d.%m.%Y %Z' cannot be read .*, for %Z"),
        ({"dates": {"x1": "%Y-%j"}}, "for %j"),
        ({"encoding": "cp037"}, "encoding 'cp037' cannot be read"),
    ],
)
def test_files_that_a_browser_cannot_read(tmp_path, dialect, words):
    source = Source("t.csv", 1, 1, dialect=dialect)
    runtime = Runtime(None, ("x1",), None, True, {"kind": "table", "source": source.to_json(), "threshold": 1.0})
    with pytest.raises(ValueError, match=words):
        described(runtime, "m")


@pytest.mark.parametrize(("known", "words"), [({"group": "g"}, "several series"), ({"gaps": "split"}, "bridges gaps")])
def test_series_that_the_page_cannot_read(known, words):
    with pytest.raises(ValueError, match=words):
        described(Runtime(None, ("a",), None, True, {"kind": "series", "threshold": 1.0, **known}), "m")


def test_arrays_have_no_page():
    with pytest.raises(ValueError, match="browsers read no array files"):
        described(Runtime(None, ("a",), None, False, {"kind": "arrays", "threshold": 1.0}), "m")


def test_a_model_that_no_graph_can_hold_leaves_nothing(tmp_path, web):
    detector = SeriesDetector(window=10, adapt=True, steps=5, hidden=(4,), random_state=0)
    detector.fit(np.sin(np.arange(200) / 4)).save(tmp_path / "m.tollad")
    said = refused_in(tmp_path, "export", tmp_path / "m.tollad", "--page", tmp_path / "page", "--onnxruntime-web", web)
    assert "adapts to the series cannot be exported" in said


def test_one_of_the_two_is_wanted(tmp_path):
    result = tollad("export", tmp_path / "m.tollad")
    assert result.exit_code == 2
    assert "Give -o OUT, --page DIR, or both" in result.stderr


def test_a_graph_is_not_exported_again(tmp_path):
    path = graph(train("mlp"), tmp_path)
    assert "is an ONNX file already" in refused_in(tmp_path, "export", path, "-o", tmp_path / "n.onnx")


def test_encodings_have_the_names_of_browsers():
    source = Source("t.csv", 1, 1, dialect={"encoding": "latin-1"})
    runtime = Runtime(None, ("x1",), None, True, {"kind": "table", "source": source.to_json(), "threshold": 1.0})
    assert described(runtime, "m")["encoding"] == "windows-1252"
