"""Charts and pages of reports."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.nn.models import MLP

import graphtasks
from graphtasks import Contender, FitConfig
from graphtasks.errors import FileError
from graphtasks.report import Interval, Section, Series, chart, intervals, page, paragraph, table, write_page
from graphtasks.report.scale import Scale

numbers = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6)


@given(st.lists(numbers, min_size=1, max_size=20))
def test_scales_keep_order_and_have_round_ticks_inside(values: list[float]) -> None:
    scale = Scale.over(values, 0, 100)
    pixels = [scale(value) for value in sorted(values)]
    assert pixels == sorted(pixels)
    assert 0 <= pixels[0] <= pixels[-1] <= 100
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 12
    assert all(-1e-6 <= scale(tick) <= 100 + 1e-6 for tick in ticks)


def test_logarithmic_scales_have_powers_of_ten() -> None:
    scale = Scale.over([1e-4, 1e-1], 0, 90, log=True)
    assert scale.ticks() == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    gaps = [scale(10.0**power) for power in (-4, -3, -2, -1)]
    assert gaps[1] - gaps[0] == pytest.approx(gaps[3] - gaps[2])


def figure(text: str) -> ET.Element:
    return ET.fromstring(re.search("<svg.*</svg>", text, re.S)[0])  # type: ignore[index]


def test_marks_are_shown_with_their_text_and_others_left_out() -> None:
    drawn = figure(chart([Series("a<b", [1, 2, math.nan], [3, math.inf, 1], line=True)], x="x & y", y="score"))
    titles = [each.text for each in drawn.iter("title")]
    assert titles == ["a<b: 1, 3"]
    assert "x & y" in [each.text for each in drawn.iter("text")]


def test_intervals_are_as_wide_as_they_are() -> None:
    rows = [Interval("one", 1.0, 0.5), Interval("failed", math.nan), Interval("two", 2.0, 1.0, "two & more")]
    bars = [each for each in figure(intervals(rows, x="score")).iter("line") if each.get("class") == "bar"]
    short, long = (float(bar.get("x2")) - float(bar.get("x1")) for bar in bars)  # type: ignore[arg-type]
    assert long == pytest.approx(2 * short, rel=0.01)


def test_text_is_escaped_and_nothing_is_fetched() -> None:
    text = page(
        "<script>", "a & b", [Section("T", [paragraph("<b>"), table([{"<i>": "<u>"}])]), Section("empty one", [])]
    )
    assert "<script>" not in text.replace("<script>\nfor", "")
    assert not re.search(r"<(b|i|u)>|https?://|empty one", text)


def test_files_of_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(FileError, match="is not a report"):
        write_page(path, page("a", "b", []))
    with pytest.raises(FileError, match="is not a report"):
        graphtasks.compare(*ours(), config=FitConfig(epochs=1), path=tmp_path / "report.jsonl")
    assert path.read_text() == "mine"
    assert not (tmp_path / "report.jsonl").exists()
    with pytest.raises(FileError, match=r"such as 'runs\.jsonl'"):
        graphtasks.compare(*ours(), config=FitConfig(epochs=1), path=tmp_path / "runs.html")


def linear(task: graphtasks.GraphTask) -> MLP:
    return MLP([task.num_features, task.num_classes])


def ours() -> tuple[list[Contender], list[graphtasks.GraphTask]]:
    return [Contender("one", linear), Contender("two", linear)], [graphtasks.load("karate")]


def test_comparisons_write_a_report(tmp_path: Path) -> None:
    for _ in range(2):
        graphtasks.compare(*ours(), splits=[0, 1], config=FitConfig(epochs=2), path=tmp_path / "runs.jsonl")
    text = (tmp_path / "runs.html").read_text()
    assert "one has the best mean. It cannot be told from two." in text
    assert text.count("<svg") == 1
