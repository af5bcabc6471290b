"""Tables of a run's rows."""

from gnndiff.report.grid import audited, grid, searched
from graphtasks import metric


def row(pool, form, test, n=1):
    summary = {"mean": test, "std": 0.01, "n": n}
    return {"name": f"{pool}_{form}", "pool": pool, "form": form, "val": summary, "test": summary, "seconds": 3.2}


ROWS = [
    row("search", "training", 0.8, 3),
    row("retrained", "best", 0.81),
    row("generated", "best", 0.82, 2),
    row("generated", "soup", 0.83, 2),
]


def test_rows_of_the_search_have_a_deviation_where_there_are_several_trainings():
    [line] = searched(ROWS, metric("accuracy"))
    assert line["test"] == "80.00 ± 1.00 %"
    assert (line["n"], line["seconds"]) == ("3", "3")


def test_forms_stand_in_lines_and_pools_in_columns():
    assert grid(ROWS, metric("accuracy")) == [
        {"test accuracy, %": "best", "retrained": "81.00", "generated": "82.00"},
        {"test accuracy, %": "soup", "retrained": "", "generated": "83.00"},
    ]
    assert grid(ROWS[:1], metric("accuracy")) == []


def test_errors_are_no_percentages():
    assert "test mse" in grid(ROWS, metric("mse"))[0]


def test_what_was_not_measured_is_a_dash():
    entry = {"pool": "noise", "in_same": None, "in_other": 0.5, "overlap": None, "overlap_other": None}
    assert list(audited([entry])[0].values()) == ["noise", "-", "0.50", "-", "-"]
