"""The picture of a scored series."""

from __future__ import annotations

import numpy as np
import pytest

from tollad.plots import series as plots


def scored(n: int = 2000, columns: int = 1) -> dict:
    rng = np.random.default_rng(0)
    scores = 1 + 0.1 * rng.random(n)
    scores[n // 2 : n // 2 + 20] = 5
    return {
        "series": rng.normal(size=(n, columns)),
        "scores": scores,
        "threshold": 2.0,
        "names": [f"column {number}" for number in range(columns)],
    }


@pytest.fixture
def axes(monkeypatch):
    """The axes of the figure that is drawn last."""
    figures = []
    new = plots.new_figure

    def keep(*size):
        figures.append(new(*size))
        return figures[-1]

    monkeypatch.setattr(plots, "new_figure", keep)
    return lambda: figures[-1].axes


@pytest.fixture
def unsaved(monkeypatch):
    """No picture is written, which takes long: only the axes are looked at."""
    monkeypatch.setattr(plots, "save_figure", lambda *_, **__: None)


@pytest.mark.parametrize("columns", [1, 6])
def test_a_panel_a_column_and_one_for_the_score(axes, tmp_path, columns):
    plots.scored_series(**scored(columns=columns), path=tmp_path / "p.png")
    assert len(axes()) == 2 * (min(columns, 4) + 1)
    assert (tmp_path / "p.png").stat().st_size > 0
    title = axes()[0].get_title(loc="left")
    assert title.startswith("1 alarm, 1 % of the time steps")
    assert ("2 more columns not shown" in title) == (columns == 6)


def test_the_odd_stretch_is_shaded_and_drawn_large(axes, tmp_path):
    plots.scored_series(**scored(), path=tmp_path / "p.png")
    whole, close, *_ = axes()
    for panel in (whole, close):
        (shade,) = panel.patches
        assert (shade.get_x(), shade.get_x() + shade.get_width()) == (1001, 1020)
    assert whole.get_xlim() == (1, 2000)
    assert 900 < close.get_xlim()[0] < 1001 < 1020 < close.get_xlim()[1] < 1100


def many(n: int, columns: int = 1) -> dict:
    """So many alarms, the later the higher."""
    given = scored(100 * n, columns)
    given["scores"] = np.ones(100 * n)
    for number in range(n):
        given["scores"][100 * number + 50 : 100 * number + 55] = 5 + number
    return given


@pytest.mark.usefixtures("unsaved")
def test_alarms_are_numbered_and_where_there_is_no_room_the_highest(axes, tmp_path):
    plots.scored_series(**many(5), path=tmp_path / "p.png")
    assert sorted(text.get_text() for text in axes()[0].texts) == ["1", "2", "3", "4", "5"]
    assert {text.xy[1] for text in axes()[0].texts} == {1}, "above the panel"
    plots.scored_series(**many(200), path=tmp_path / "p.png")
    numbers = sorted(int(text.get_text()) for text in axes()[0].texts)
    assert 20 <= len(numbers) <= 40
    assert numbers[-1] == 200


@pytest.mark.usefixtures("unsaved")
def test_an_alarm_is_shaded_most_in_the_column_that_caused_it(axes, tmp_path):
    causes = ["column 1", "column 5", None]
    plots.scored_series(**many(3, columns=6), path=tmp_path / "p.png", causes=causes)
    first = axes()[:10:2]
    assert [panel.get_ylabel() for panel in first] == ["column 0", "column 1", "column 2", "column 5", "score"]
    strengths = [[patch.get_alpha() for patch in panel.patches] for panel in first]
    strong, weak = max(map(max, strengths)), min(map(min, strengths))
    assert strengths == [[strong if cause in (None, name, "score") or name == "score" else weak for cause in causes]
                         for name in ("column 0", "column 1", "column 2", "column 5", "score")]  # fmt: skip


@pytest.mark.usefixtures("unsaved")
def test_without_odd_steps_there_is_no_close_up(axes, tmp_path):
    plots.scored_series(**scored() | {"threshold": 9.0}, path=tmp_path / "p.png")
    assert len(axes()) == 2
    assert axes()[0].get_title(loc="left") == "0 alarms, 0 % of the time steps"


@pytest.mark.usefixtures("unsaved")
def test_no_peak_of_a_long_series_is_lost(axes, tmp_path):
    given = scored(100_000)
    given["series"][77_777] = 99
    plots.scored_series(**given, path=tmp_path / "p.svg")
    line = axes()[0].lines[0].get_ydata()
    assert len(line) <= 4000
    assert line.max() == 99


@pytest.mark.usefixtures("unsaved")
@pytest.mark.parametrize("n", [300, 20_000])
def test_lines_break_where_steps_are_missing(axes, tmp_path, n):
    given = scored(n)
    given["scores"][:10] = np.nan
    kept = np.r_[: n // 3, n // 2 : n]
    given |= {name: given[name][kept] for name in ("series", "scores")}
    plots.scored_series(**given, path=tmp_path / "p.png", time=kept.astype(float))
    for panel, starts in zip(axes()[::2], (0, 10), strict=True):
        x, y = panel.lines[0].get_data()
        (between,) = np.flatnonzero(np.isnan(y) & (x > starts))
        assert x[between] == n // 3 - 1
        # Of a long line, only the ends of its pieces are drawn.
        assert x[between] - x[between - 1] <= n // 1000
        assert x[between + 1] - n // 2 <= n // 1000


def test_dates_and_names_are_those_given(axes, tmp_path):
    time = np.datetime64("2024-01-01", "us") + np.arange(2000) * np.timedelta64(1, "h")
    plots.scored_series(**scored(), path=tmp_path / "p.png", time=time, time_name="cost $")
    assert axes()[-2].get_xlabel() == r"cost \$"
    assert "2024" in axes()[-2].xaxis.get_major_formatter().get_offset() + str(axes()[-2].get_xticklabels())


@pytest.mark.usefixtures("unsaved")
@pytest.mark.parametrize("seconds", [1, 1800, 30 * 86400])
def test_dates_do_not_overlap(axes, tmp_path, seconds):
    time = np.datetime64("2014-09-01T13:34:39") + seconds * np.arange(2000)
    plots.scored_series(**scored(), path=tmp_path / "p.png", time=time, time_name="timestamp")
    axes()[0].figure.draw_without_rendering()
    for panel in axes()[-2:]:
        shown = [panel.xaxis.label, panel.xaxis.get_offset_text(), *panel.get_xticklabels()]
        boxes = [text.get_window_extent() for text in shown if text.get_text()]
        assert len(boxes) > 2
        assert not any(a.overlaps(b) for number, a in enumerate(boxes) for b in boxes[:number])


@pytest.mark.parametrize(
    "wrong", [{"names": []}, {"scores": [1.0]}, {"time": [1.0, 2.0]}, {"series": np.zeros((0, 1)), "scores": []}]
)
def test_what_does_not_belong_together_is_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="a name for each column and a score and a time for each step"):
        plots.scored_series(**scored() | wrong, path=tmp_path / "p.png")
    assert not any(tmp_path.iterdir())


def test_the_largest_numbers_are_drawn_where_the_axis_ends(axes, tmp_path):
    given = scored()
    given["series"][5], given["series"][7], given["scores"][5] = 1e308, -1e308, 1e308
    plots.scored_series(**given, path=tmp_path / "p.png")
    assert axes()[0].lines[0].get_ydata()[[5, 7]].tolist() == [1e100, -1e100]
