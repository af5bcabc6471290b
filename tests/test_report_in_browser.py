"""A report in headless Chromium: nothing on the console, tables sort, and nothing is wider than the window."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from graphtasks.report import Interval, Section, Series, chart, intervals, page, paragraph, table

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

PROBE = """
<script>
const column = () => [...document.querySelectorAll("td:first-child")].map((cell) => cell.textContent);
const button = document.querySelector("th button");
const found = {width: document.documentElement.scrollWidth - window.innerWidth, before: column()};
button.click();
found.up = column();
button.click();
found.down = column();
found.colour = getComputedStyle(document.body).backgroundColor;
document.title = JSON.stringify(found);
</script>
"""


def probed(path: Path, profile: Path, width: int, *options: str) -> dict[str, object]:
    """Findings of a script on a page in a window of a width."""
    assert CHROMIUM is not None
    quiet = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")
    command = [CHROMIUM, "--headless", "--no-sandbox", *quiet, f"--user-data-dir={profile}", "--enable-logging=stderr"]
    ended = subprocess.run(
        [*command, f"--window-size={width},900", *options, "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in ended.stderr
    return json.loads(re.search("<title>(.*?)</title>", ended.stdout, re.S)[1])  # type: ignore[index, no-any-return]


@pytest.mark.parametrize("width", [500, 1400])
def test_report(width: int, tmp_path: Path) -> None:
    rows = [{"score": value, "what it is": "word " * 40} for value in ("9.5 %", "-", "10.2 %", "-3 %")]
    points = [Series("a", [1, 2, 3], [2, 1, 3], line=True), Series("b", [1, 2], [1, 2])]
    bars = intervals([Interval("a row of a long name", 1.0, 0.3), Interval("other", 2.0)], x="score")
    parts = [paragraph("word " * 100), table(rows), f"<div class='charts'>{chart(points, x='x', y='y')}{bars}</div>"]
    path = tmp_path / "page.html"
    path.write_text(page("A title", "A sentence.", [Section("A part", parts)]).replace("</body>", PROBE + "</body>"))
    light = probed(path, tmp_path / "light", width)
    dark = probed(path, tmp_path / "dark", width, "--blink-settings=preferredColorScheme=0")
    assert max(light["width"], dark["width"]) <= 0  # type: ignore[type-var]
    assert light["before"] == ["9.5 %", "-", "10.2 %", "-3 %"]
    assert light["up"] == ["-3 %", "9.5 %", "10.2 %", "-"]
    assert light["down"] == ["10.2 %", "9.5 %", "-3 %", "-"]
    assert light["colour"] != dark["colour"]
