"""The tables in benchmarks/README.md are those of the measured rows."""

import json
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_tables_show_the_measured_rows(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    measure = __import__("measure")
    monkeypatch.delitem(sys.modules, "measure")
    readme = (BENCHMARKS / "README.md").read_text()
    for name, part in (("tuned_gnn", "rows"), ("training", "scores"), ("training", "speed")):
        assert measure.table(json.loads((BENCHMARKS / f"{name}.json").read_text())[part]) in readme, (name, part)
    for row in json.loads((BENCHMARKS / "kernels.json").read_text())["rows"]:
        assert measure.markdown([row]).splitlines()[-1] in readme, row["work"]
