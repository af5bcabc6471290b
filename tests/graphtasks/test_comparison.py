import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from graphtasks import InvalidDataError, MissingFilesError
from graphtasks.comparison import Comparison


def rows(task, model, tests, *, metric="accuracy", direction="maximize", protocol="public", seeds=(0,), val=0.5):
    """One row for each test score, on splits 0, 1, ... with each seed."""
    runs = itertools.product(range(len(tests) // len(seeds)), seeds)
    return [
        {
            "task": task,
            "protocol": protocol,
            "model": model,
            "split": split,
            "seed": seed,
            "val": val,
            "test": test,
            "metric": metric,
            "direction": direction,
        }
        for (split, seed), test in zip(runs, tests, strict=True)
    ]


def comparison(*parts):
    return Comparison(pd.DataFrame([row for part in parts for row in part]))


@pytest.fixture
def small():
    """Two models that cannot be told apart on 'cora', clearly apart on 'wind', where less is better."""
    return comparison(
        rows("cora", "gcn", [0.80, 0.82, 0.84, 0.86]),
        rows("cora", "dmd_50%", [0.85, 0.81, 0.83, 0.85]),
        rows("cora", "mlp", [0.50, 0.51, 0.52, 0.53]),
        rows("wind", "gcn", [0.1234, 0.1236, 0.1238, 0.1240], metric="mse", direction="minimize"),
        rows("wind", "dmd_50%", [0.0234, 0.0236, 0.0238, 0.0240], metric="mse", direction="minimize"),
        rows("wind", "mlp", [20.0, 21.0, 22.0, 23.0], metric="mse", direction="minimize"),
    )


def test_summary_of_hand_computed_numbers():
    summary = comparison(rows("cora", "gcn", [0.2, 0.4, 0.9], val=0.25), rows("cora", "mlp", [0.5], val=0.75)).summary()
    gcn, mlp = summary.to_dict("records")
    assert gcn == {
        "task": "cora",
        "protocol": "public",
        "model": "gcn",
        "metric": "accuracy",
        "mean": pytest.approx(0.5),
        # The squares 0.09 + 0.01 + 0.16 over 3 - 1.
        "std": pytest.approx(math.sqrt(0.13)),
        "count": 3,
        "val": 0.25,
        "failed": 0,
    }
    assert (mlp["mean"], mlp["count"], mlp["val"]) == (0.5, 1, 0.75)
    assert math.isnan(mlp["std"])


def test_a_failed_run_leaves_no_mean_of_those_that_survive():
    result = comparison(rows("cora", "gcn", [0.5, 0.6]), rows("cora", "mlp", [0.9, math.nan]))
    mlp = result.summary().iloc[1]
    assert (mlp["count"], mlp["failed"]) == (1, 1)
    assert math.isnan(mlp["mean"])
    assert dict(result.ranks()) == {"gcn": 1, "mlp": 2}
    difference = result.differences("gcn").iloc[0]
    assert difference["pairs"] == 1
    assert difference[["difference", "low", "high", "p"]].isna().all()
    assert result.to_markdown().splitlines()[-1] == "| cora | accuracy (%) | **55.0 ± 7.1** | failed (1 of 2) |"


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=2, max_size=8),
    st.sampled_from(["maximize", "minimize"]),
)
def test_differences_are_those_of_scipy(scores, direction):
    a, b = np.array(scores).T / 1000
    parts = [rows("cora", name, list(test), direction=direction) for name, test in (("gcn", a), ("dmd", b))]
    found = comparison(*parts).differences("gcn").iloc[0]
    difference = (b - a if direction == "maximize" else a - b).round(6)
    assert (found["model"], found["pairs"]) == ("dmd", len(a))
    assert found["difference"] == pytest.approx(difference.mean(), abs=1e-9)
    if len(set(difference)) == 1:
        assert found["low"] == pytest.approx(difference[0], abs=1e-9)
        assert found["high"] == pytest.approx(difference[0], abs=1e-9)
    else:
        generator = np.random.default_rng(0)
        interval = stats.bootstrap(
            (difference,), np.mean, method="percentile", random_state=generator
        ).confidence_interval
        assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high), abs=1e-9)
        assert found["low"] <= found["difference"] <= found["high"]
    if difference.any():
        assert found["p"] == pytest.approx(stats.wilcoxon(difference[difference != 0]).pvalue)
    else:
        assert math.isnan(found["p"])


def test_wilcoxon_of_hand_computed_ranks():
    # Ranks 1 to 5, of which only 2 is negative: 3 of the 32 signs have a negative sum of 2 or less, on either side.
    result = comparison(rows("cora", "gcn", [0.5] * 5), rows("cora", "dmd", [0.6, 0.3, 0.8, 0.9, 1.0]))
    assert result.differences("gcn")["p"].item() == pytest.approx(2 * 3 / 32)


def test_positive_differences_are_better_whatever_the_metric():
    result = comparison(
        rows("cora", "gcn", [0.7, 0.8]),
        rows("cora", "dmd", [0.8, 0.9]),
        rows("wind", "gcn", [0.7, 0.8], metric="mse", direction="minimize"),
        rows("wind", "dmd", [0.5, 0.6], metric="mse", direction="minimize"),
    )
    found = result.differences("gcn")
    assert list(found["task"]) == ["cora", "wind"]
    assert list(found["difference"]) == pytest.approx([0.1, 0.2])
    # 0.8 - 0.7 and 0.9 - 0.8 are the same difference.
    assert (found["low"] == found["high"]).all()
    backwards = result.differences("dmd")
    assert list(backwards["difference"]) == pytest.approx([-0.1, -0.2])
    assert list(result.ranks().index) == ["dmd", "gcn"]


def test_pairs_are_matched_by_split_and_seed_and_not_by_order():
    first = rows("cora", "gcn", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], seeds=(7, 3))
    second = [row | {"model": "dmd", "test": row["test"] + 0.1} for row in reversed(first)]
    found = comparison(first, second).differences("gcn").iloc[0]
    assert found["pairs"] == 6
    assert found["low"] == found["high"] == pytest.approx(0.1)


def test_tasks_of_one_name_and_different_protocols_are_not_paired():
    result = comparison(
        *(
            rows("cora", model, [score], protocol=protocol)
            for protocol, score in (("public", 0.5), ("geom-gcn", 0.75))
            for model in ("gcn", "dmd")
        )
    )
    assert list(result.differences("gcn")["protocol"]) == ["public", "geom-gcn"]
    assert list(result.differences("gcn")["difference"]) == [0, 0]
    assert result.to_markdown().splitlines() == [
        "| task | protocol | metric | gcn | dmd |",
        "| --- | --- | --- | ---: | ---: |",
        "| cora | public | accuracy (%) | **50.0** | **50.0** |",
        "| cora | geom-gcn | accuracy (%) | **75.0** | **75.0** |",
    ]


def test_a_single_pair_has_a_difference_and_no_interval():
    found = comparison(rows("cora", "gcn", [0.5]), rows("cora", "dmd", [0.75])).differences("gcn").iloc[0]
    assert (found["difference"], found["pairs"]) == (0.25, 1)
    assert math.isnan(found["low"])
    assert math.isnan(found["high"])


def test_intervals_are_quantiles_of_resamples_of_a_seed():
    # One of the 27 resamples of three differences is all of the lowest, one all of the highest: 3.7 % each.
    few = comparison(rows("cora", "gcn", [0.5] * 3), rows("cora", "dmd", [0.4, 0.7, 0.9])).differences("gcn").iloc[0]
    assert (few["low"], few["high"]) == pytest.approx((-0.1, 0.4))
    generator = np.random.default_rng(0)
    noise = generator.normal(0.1, 0.2, size=400)
    many = comparison(rows("cora", "gcn", [0.0] * 400), rows("cora", "dmd", list(noise)))
    found = many.differences("gcn")
    half = 1.96 * noise.std(ddof=1) / 20
    assert (found["low"].item(), found["high"].item()) == pytest.approx(
        (noise.mean() - half, noise.mean() + half), abs=2e-3
    )
    pd.testing.assert_frame_equal(found, many.differences("gcn"))
    assert not found.equals(many.differences("gcn", seed=1))


def test_unpaired_runs_are_named():
    full, part = rows("cora", "gcn", [0.1, 0.2, 0.3, 0.4], seeds=(0, 5)), rows("cora", "dmd", [0.1, 0.2], seeds=(0, 5))
    message = r"'dmd' lacks 2 run\(s\) on 'cora' that 'gcn' has: split 1, seed 0; split 1, seed 5: run them"
    for baseline in ("gcn", "dmd"):
        with pytest.raises(InvalidDataError, match=message):
            comparison(full, part).differences(baseline)
    with pytest.raises(InvalidDataError, match=r"'dmd' lacks 1 run\(s\) on 'wind' that 'gcn' has: split 0, seed 0"):
        comparison(full[:2], part, rows("wind", "gcn", [1.0])).differences("gcn")
    with pytest.raises(InvalidDataError, match="got baseline 'gat', expected one of gcn, dmd"):
        comparison(full, part).differences("gat")


def test_ranks_of_hand_computed_means():
    result = comparison(
        *(rows("a", model, [score]) for model, score in (("x", 0.5), ("y", 0.9), ("z", 0.5))),
        *(
            rows("b", model, [score], metric="mae", direction="minimize")
            for model, score in (("x", 1.0), ("y", 2.0), ("z", 3.0))
        ),
        *(rows("c", model, [score]) for model, score in (("x", math.nan), ("y", 0.1), ("z", math.nan))),
    )
    ranks = result.ranks()
    assert list(ranks.index) == ["y", "x", "z"]
    assert list(ranks) == pytest.approx([(1 + 2 + 1) / 3, (2.5 + 1 + 2.5) / 3, (2.5 + 3 + 2.5) / 3])
    with pytest.raises(InvalidDataError, match="'y' has no run on 'b'"):
        comparison(rows("a", "x", [0.5]), rows("a", "y", [0.5]), rows("b", "x", [0.5])).ranks()


def test_markdown(small):
    assert small.to_markdown() == "\n".join(
        [
            "| task | metric | gcn | dmd_50% | mlp |",
            "| --- | --- | ---: | ---: | ---: |",
            "| cora | accuracy (%) | *83.0 ± 2.6* | **83.5 ± 1.9** | 51.5 ± 1.3 |",
            "| wind | mse | 0.12370 ± 0.00026 | **0.02370 ± 0.00026** | 21.50000 ± 1.29099 |",
        ]
    )


def test_latex(small):
    assert small.to_latex() == "\n".join(
        [
            r"\begin{tabular}{llrrr}",
            r"\toprule",
            r"task & metric & gcn & dmd\_50\% & mlp \\",
            r"\midrule",
            r"cora & accuracy (\%) & \underline{83.0 $\pm$ 2.6} & \textbf{83.5 $\pm$ 1.9} & 51.5 $\pm$ 1.3 \\",
            r"wind & mse & 0.12370 $\pm$ 0.00026 & \textbf{0.02370 $\pm$ 0.00026} & 21.50000 $\pm$ 1.29099 \\",
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def test_special_characters_of_markdown_and_latex():
    result = comparison(rows(r"a|b\c", "x&$#{}~^<>\n_", [0.5], metric="hits@20"))
    assert result.to_markdown().splitlines()[0] == "| task | metric | x&$#{}~^<> _ |"
    assert result.to_markdown().splitlines()[2] == r"| a\|b\\c | hits@20 (%) | **50.0** |"
    title, line = result.to_latex().splitlines()[2:5:2]
    assert title == (r"task & metric & x\&\$\#\{\}\textasciitilde{}\textasciicircum{}\textless{}\textgreater{} \_ \\")
    assert line == r"a\textbar{}b\textbackslash{}c & hits@20 (\%) & \textbf{50.0} \\"


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        ([1234.4, 1236.6], "1236 ± 2"),
        ([0.0, 0.0], "0.000 ± 0.000"),
        ([1.0, 1.0], "1.000 ± 0.000"),
        ([-2e-5], "-0.00002000"),
    ],
)
def test_other_metrics_show_four_digits(scores, text):
    result = comparison(rows("wind", "gcn", scores, metric="mse", direction="minimize"))
    assert result.to_markdown().splitlines()[-1] == f"| wind | mse | **{text}** |"


def test_models_without_runs_on_a_task_have_an_empty_cell():
    result = comparison(rows("a", "x", [0.5]), rows("a", "y", [0.25]), rows("b", "x", [0.5]))
    assert result.to_markdown().splitlines()[-1] == "| b | accuracy (%) | **50.0** | - |"


def test_csv_round_trip(small, tmp_path):
    generator = np.random.default_rng(0)
    runs = small.runs.assign(
        model=small.runs["model"].replace({"gcn": "NA", "mlp": "7"}),
        test=generator.random(len(small.runs)),
        best_epoch=[None, *range(len(small.runs) - 1)],
        setting='{"act": "a,b"}',
        status="ok\n",
        version="",
    )
    runs.loc[2, "test"] = math.nan
    before = Comparison(runs)
    before.to_csv(tmp_path / "runs.csv")
    after = Comparison.read(tmp_path / "runs.csv")
    pd.testing.assert_frame_equal(before.runs, after.runs)
    assert before.to_markdown() == after.to_markdown()
    assert list(before.runs["version"]) == [""] * len(runs)


def test_the_last_line_of_a_training_counts(tmp_path):
    path = tmp_path / "runs.jsonl"
    row = rows("cora", "gcn", [0.5])[0] | {"phase": "run", "config": "{}", "setting": "{}", "version": ""}
    row |= {"split_hash": "0", "data_hash": "0"}
    path.write_text("".join(json.dumps(row | {"tried": tried}) + "\n" for tried in (1, 4)))
    assert list(Comparison.read(path).runs["tried"]) == [4]
    assert len(Comparison.read(path).trials) == 0
    with path.open("a") as file:
        file.write(json.dumps(row | {"setting": '{"lr": 1}', "split": 1}) + "\n")
    with pytest.raises(InvalidDataError, match="holds runs of 'gcn' on 'cora' with several settings"):
        Comparison.read(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingFilesError, match=r"none\.jsonl is no file"):
        Comparison.read(tmp_path / "none.jsonl")


def test_the_given_frame_is_left_alone(small):
    given = small.runs.sample(frac=1, random_state=0).astype({"seed": "object"})
    before = given.copy()
    result = Comparison(given)
    pd.testing.assert_frame_equal(given, before)
    assert list(result.runs.index) == list(range(len(given)))
    assert result.runs["seed"].dtype == "int64"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda runs: runs.drop(columns=["test", "seed"]), "the runs have no column seed, test: they need task, "),
        (lambda runs: runs.assign(direction="up"), "got direction 'up', expected 'maximize' or 'minimize'"),
        (lambda runs: runs.assign(test="high"), "the column 'test' is not of float64"),
        (lambda runs: runs.assign(split=0), "'gcn' has more than one run on split 0, seed 0 of 'cora'"),
        (lambda runs: runs.assign(metric=runs["model"]), r"runs of \('cora', 'public'\) have more than one metric"),
        (lambda runs: runs.assign(split_hash=runs["model"]), "have more than one split_hash"),
    ],
)
def test_frames_of_something_else_are_refused(small, change, message):
    with pytest.raises(InvalidDataError, match=message):
        Comparison(change(small.runs))
