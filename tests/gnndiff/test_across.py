"""Tables over splits and seeds, in which a run counts once."""

import json
import shutil

import numpy as np
import pytest

from gnndiff.across import Across, compare_runs
from gnndiff.cli import main
from gnndiff.errors import ConfigError


def results_of(split, seed, tests, draws=1):
    """Contents of results.json with rows of these mean test scores."""
    rows = [
        {"name": name, "seconds": 3.0, **{part: {"mean": test, "std": 0.1, "n": draws} for part in ("val", "test")}}
        for name, test in tests.items()
    ]
    about = {"task": "wine", "model": "gcn", "budget": "tiny", "metric": "accuracy", "direction": "maximize"}
    best = {"val": 1.0, "test": max(tests.values())}
    return {**about, "split": split, "seed": seed, "rows": rows, "best": best, "stages": [{"seconds": 7.0}]}


SEVERAL = [
    results_of(split, seed, {"coarse_winner": 0.8 + 0.01 * split, "generated_best": 0.82 + 0.01 * split, **more})
    for split, seed, more in ((0, 0, {}), (0, 1, {"full_grid": 0.9}), (1, 0, {}), (1, 1, {}))
]


def test_each_run_counts_once_whatever_its_draws():
    many = [{**each, "rows": [{**row, "test": {**row["test"], "n": 100}} for row in each["rows"]]} for each in SEVERAL]
    for runs in (SEVERAL, many):
        summary = Across(runs).comparison().summary().set_index("model")
        assert summary["count"].tolist() == [4, 4, 4]
        assert summary.loc["coarse_winner", "mean"] == pytest.approx(0.805)


def test_differences_are_paired_by_split_and_seed():
    found = Across(SEVERAL).differences().set_index("model")
    assert found.loc["generated_best", ["difference", "low", "high"]].tolist() == pytest.approx([0.02] * 3)
    assert found.loc["delivered", "pairs"] == 4


def test_rows_that_a_run_lacks_are_left_out():
    assert set(Across(SEVERAL).comparison().runs["model"]) == {"coarse_winner", "generated_best", "delivered"}


def test_the_table_says_over_what_it_is():
    text = Across(SEVERAL).to_markdown()
    assert text.startswith("wine, gcn, budget tiny, 4 runs, 2 splits, 2 seeds")
    assert "| `generated_best` | 82.50 ± 0.58 % | +2.00 (+2.00 to +2.00) | 3 |" in text
    assert "| `delivered` |" in text
    assert "| 7 |" in text


def test_runs_on_other_splits_stand_beside_the_given_one(finished, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "wine-split0-seed0"
    shutil.copytree(finished.folder, folder)
    whole = json.loads((folder / "results.json").read_text())
    seen = []

    def quick(run):
        seen.append((run.config.split, run.config.seed, run.folder.name))
        return {**whole, "split": run.config.split, "seed": run.config.seed}

    monkeypatch.setattr("gnndiff.across.run_all", quick)
    main(["compare", str(folder), "--splits", "2", "--seeds", "2", "--quiet"])
    names = [(split, seed, f"wine-split{split}-seed{seed}") for split in range(2) for seed in range(2)]
    assert seen == names
    assert "4 runs, 2 splits, 2 seeds" in capsys.readouterr().out
    found = compare_runs([folder], quiet=True)
    assert len(found.results) == 1
    assert np.isnan(found.differences()["low"]).all()


@pytest.mark.parametrize("options", [{"splits": 0}, {"seeds": 0}])
def test_numbers_that_are_too_small(finished, options):
    with pytest.raises(ConfigError, match="at least 1"):
        compare_runs([finished.folder], **options)
    with pytest.raises(ConfigError, match="no run to compare"):
        compare_runs([])
