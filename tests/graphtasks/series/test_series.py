import dataclasses
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphtasks import InvalidDataError, MissingFilesError
from graphtasks.metrics import METRICS
from graphtasks.sources.series import SERIES, Series
from series_files import (
    BY_NAME,
    CONTENTS,
    EDGES,
    FILES,
    STEPS,
    chickenpox,
    every_series,
    load_content,
    load_series,
    pedalme,
    tennis,
    tree,
    value,
    wikimaths,
    write,
)


def test_all_series_are_listed_once():
    assert [series.task_name for series in SERIES] == list(CONTENTS)
    assert {series.task_name: series.file for series in SERIES} == {name: f"{file}.gz" for name, file in FILES.items()}
    assert [series.lags for series in SERIES] == [4, 4, 8, 1, 1]


@pytest.mark.parametrize("lags", [None, 1, 2, 7])
@pytest.mark.parametrize("name", ["chickenpox", "pedalme"])
def test_windows_hold_the_last_values_and_the_target_is_the_next(root, name, lags):
    task = load_content(root, name, CONTENTS[name](), lags=lags)
    lags = lags or 4
    assert len(task.data) == STEPS - lags
    for step, snapshot in enumerate(task.data, start=lags):
        assert snapshot.x.tolist() == [[value(s, node) for s in range(step - lags, step)] for node in range(3)]
        assert snapshot.y.tolist() == [value(step, node) for node in range(3)]


def test_chickenpox_has_no_weights_and_both_directions(root):
    task = load_content(root, "chickenpox", chickenpox())
    assert task.data[0].edge_index.t().tolist() == EDGES
    assert "edge_weight" not in task.data[0]
    assert not task.directed


def test_pedalme_edges_keep_their_direction_and_weight(root):
    task = load_content(root, "pedalme", pedalme())
    for snapshot in task.data:
        assert snapshot.edge_index.tolist() == [[0, 1, 2], [1, 2, 2]]
        assert snapshot.edge_weight.tolist() == [1, 0.5, 0.25]
    assert task.directed


def test_wikimaths_holds_visits_as_published(root):
    task = load_content(root, "wikimaths", wikimaths())
    assert len(task.data) == STEPS - 8
    for step, snapshot in enumerate(task.data, start=8):
        visits = [100.0 * s for s in range(step - 8, step)]
        assert snapshot.x.tolist() == [[visit + 7 for visit in visits], visits]
        assert snapshot.y.tolist() == [100 * step + 7, 100 * step]
        assert snapshot.edge_index.tolist() == [[1], [0]]
        assert snapshot.edge_weight.tolist() == [3]
    assert task.directed


@pytest.mark.parametrize("lags", [None, 1, 3])
def test_tennis_predicts_the_mentions_of_the_next_step(root, lags):
    task = load_content(root, "twitter-tennis-rg17", tennis(), lags=lags)
    lags = lags or 1
    assert len(task.data) == STEPS - lags
    for step, snapshot in enumerate(task.data, start=lags):
        rows = [
            [number for s in range(step - lags, step) for number in (10 * s + node, 1 / (s + 1))] for node in range(4)
        ]
        torch.testing.assert_close(snapshot.x, torch.tensor(rows))
        torch.testing.assert_close(snapshot.y, torch.tensor([np.log(1 + 5 * step + node) for node in range(4)]).float())
        last = step - 1
        edges, weights = [[last % 4, step % 4], [0, 0]], [last + 1, 1]
        assert snapshot.edge_index.t().tolist() == edges[: 1 + last % 2]
        assert snapshot.edge_weight.tolist() == weights[: 1 + last % 2]
    assert task.directed


def test_step_without_edges_is_a_graph_without_edges(root):
    content = tennis()
    content["3"].update(edges=[], weights=[])
    task = load_content(root, "twitter-tennis-rg17", content)
    assert task.data[3].edge_index.shape == (2, 0)
    assert task.data[3].edge_weight.shape == (0,)


@every_series
def test_task_says_what_it_is(root, name):
    task = load_content(root, name, CONTENTS[name]())
    assert (task.name, task.kind, task.metric) == (name, "temporal", METRICS["mse"])
    for snapshot in task.data:
        assert snapshot.x.dtype == snapshot.y.dtype == torch.float32
        assert snapshot.edge_index.dtype == torch.int64
        assert snapshot.get("edge_weight", snapshot.x).dtype == torch.float32


@pytest.mark.parametrize("name", ["chickenpox", "pedalme", "wikimaths"])
def test_static_graph_is_shared_by_all_snapshots(root, name):
    first, *others = load_content(root, name, CONTENTS[name]()).data
    for key in ("edge_index", "edge_weight"):
        assert len({snapshot[key].data_ptr() for snapshot in (first, *others) if key in snapshot}) <= 1


@every_series
@pytest.mark.parametrize("lags", [1, 4])
def test_snapshots_share_no_values(root, name, lags):
    task = load_content(root, name, CONTENTS[name](), lags=lags)
    tensors = [snapshot[key] for snapshot in task.data for key in ("x", "y")]
    assert all(tensor.untyped_storage().nbytes() == 4 * tensor.numel() for tensor in tensors)
    kept = [(snapshot.x.clone(), snapshot.y.clone()) for snapshot in task.data[1:]]
    task.data[0].x.fill_(-1)
    task.data[0].y.fill_(-1)
    assert all(torch.equal(s.x, x) and torch.equal(s.y, y) for s, (x, y) in zip(task.data[1:], kept, strict=True))


@every_series
@pytest.mark.parametrize("lags", [1, 4])
def test_parts_follow_each_other_in_time(root, name, lags):
    (split,) = load_content(root, name, CONTENTS[name](), lags=lags).splits
    count = STEPS - lags
    assert torch.cat([split.train, split.val, split.test]).tolist() == list(range(count))
    assert abs(len(split.train) - 0.7 * count) < 1
    assert abs(len(split.test) - 0.2 * count) < 1


def change_step(name: str, content: dict[str, Any], step: int) -> dict[str, Any]:
    """Other values, and where they are of the step other edges, in one step."""
    if name in ("chickenpox", "pedalme"):
        content["FX" if name == "chickenpox" else "X"][step] = [1e6, 2e6, 3e6]
    else:
        entry = content[str(step)]
        entry["y"] = [1e6 + node for node in range(len(entry["y"]))]
        if "X" in entry:
            entry.update(X=[[1e6, 0.5]] * 4, edges=[[3, 3]], weights=[99])
    return content


@every_series
@pytest.mark.parametrize("lags", [1, 3])
@pytest.mark.parametrize("changed", [6, STEPS - 1])
def test_no_snapshot_knows_what_comes_later(root, name, lags, changed):
    before = load_content(root, name, CONTENTS[name](), lags=lags).data
    after = load_content(root, name, change_step(name, CONTENTS[name](), changed), lags=lags).data
    for step, (old, new) in enumerate(zip(before, after, strict=True), start=lags):
        inputs_change = step - lags <= changed < step
        assert torch.equal(old.x, new.x) is not inputs_change
        assert torch.equal(old.y, new.y) is (step != changed)
        if step <= changed:
            assert torch.equal(old.edge_index, new.edge_index)


@every_series
def test_plain_file_reads_the_same(root, tmp_path, name):
    packed = load_content(root, name, CONTENTS[name]())
    write(tmp_path / "plain", name, CONTENTS[name](), packed=False)
    plain = load_series(tmp_path / "plain", name)
    assert len(plain.data) == len(packed.data)
    for a, b in zip(packed.data, plain.data, strict=True):
        assert torch.equal(a.x, b.x)
        assert torch.equal(a.y, b.y)
        assert torch.equal(a.edge_index, b.edge_index)


def test_root_may_come_from_the_environment(root, monkeypatch):
    write(root, "pedalme", pedalme())
    monkeypatch.setenv("GRAPHTASKS_ROOT", str(root))
    assert len(BY_NAME["pedalme"].load("time", None).data) == STEPS - 4


@every_series
def test_missing_file_is_an_error_that_says_where_to_get_it(root, name):
    assert not BY_NAME[name].found(root)
    with pytest.raises(MissingFilesError) as error:
        load_series(root, name)
    message = str(error.value)
    assert repr(name) in message
    assert f"{FILES[name]}.gz in {root / 'temporal'}" in message
    assert f"get {FILES[name]} from the dataset folder of benedekrozemberczki/pytorch_geometric_temporal" in message
    write(root, name, CONTENTS[name](), packed=False)
    assert BY_NAME[name].found(root)


@every_series
def test_root_is_only_read(root, tmp_path, name):
    path = write(root, name, CONTENTS[name]())
    before = tree(root)
    path.chmod(0o444)
    for folder in (path.parent, root):
        folder.chmod(0o555)
    try:
        load_series(root, name)
    finally:
        for folder in (root, path.parent):
            folder.chmod(0o755)
    assert tree(root) == before
    assert not (tmp_path / "cache").exists()


@every_series
@pytest.mark.parametrize("lags", [0, -1, STEPS, STEPS + 5, 2.0, "2", True])
def test_lags_that_do_not_fit_are_an_error(root, name, lags):
    with pytest.raises(InvalidDataError, match=rf"got lags {lags!r}, .* below {STEPS}, .*{FILES[name]}"):
        load_content(root, name, CONTENTS[name](), lags=lags)


def test_too_few_snapshots_are_an_error(root):
    with pytest.raises(InvalidDataError, match=r"chickenpox\.json\.gz with lags 19 gives 1 snapshots, too few"):
        load_content(root, "chickenpox", chickenpox(), lags=STEPS - 1)


REAL = {
    "chickenpox": ("FX", 20, 521, 4),
    "pedalme": ("X", 15, 35, 4),
    "twitter-tennis-rg17": (None, 1000, 120, 2),
    "twitter-tennis-uo17": (None, 1000, 112, 2),
}


def raw(root: Path, name: str) -> dict[str, Any]:
    with gzip.open(root / "temporal" / BY_NAME[name].file) as file:
        content: dict[str, Any] = json.load(file)
    return content


@pytest.mark.real_data
@pytest.mark.parametrize("name", list(REAL))
def test_real_files_have_published_statistics(real_data, name):
    key, num_nodes, num_steps, num_features = REAL[name]
    series, content = BY_NAME[name], raw(Path(real_data), name)
    task = load_series(Path(real_data), name)
    assert len(task.data) == num_steps - series.lags
    assert {(*snapshot.x.shape, *snapshot.y.shape) for snapshot in task.data} == {(num_nodes, num_features, num_nodes)}
    for step, snapshot in enumerate(task.data, start=series.lags):
        if key:
            np.testing.assert_array_equal(snapshot.x, np.float32(content[key][step - series.lags : step]).T)
            np.testing.assert_array_equal(snapshot.y, np.float32(content[key][step]))
        else:
            np.testing.assert_array_equal(snapshot.x, np.float32(content[str(step - 1)]["X"]))
            np.testing.assert_allclose(snapshot.y, np.log(1 + np.array(content[str(step)]["y"])), rtol=1e-6)
    edges = [snapshot.num_edges for snapshot in task.data]
    assert (min(edges), max(edges)) == {
        "chickenpox": (102, 102),
        "pedalme": (225, 225),
        "twitter-tennis-rg17": (41, 936),
        "twitter-tennis-uo17": (88, 793),
    }[name]
    assert task.directed is name.startswith("twitter")
    assert task.data[0].has_self_loops()


@pytest.mark.real_data
def test_real_chickenpox_is_standardised_by_its_publisher(real_data):
    values = np.array(raw(Path(real_data), "chickenpox")["FX"])
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(values.std(axis=0), 1)


@pytest.mark.real_data
@pytest.mark.parametrize("name", list(REAL))
def test_real_parts_share_no_target_and_follow_each_other(real_data, name):
    task = load_series(Path(real_data), name)
    (split,) = task.splits
    assert int(split.train.max()) < int(split.val.min()) <= int(split.val.max()) < int(split.test.min())
    targets = {
        part: {tuple(task.data[i].y.tolist()) for i in split[part].tolist()} for part in ("train", "val", "test")
    }
    assert sum(map(len, targets.values())) == len(task.data)
    assert not targets["train"] & targets["val"]
    assert not targets["train"] & targets["test"]
    assert not targets["val"] & targets["test"]


@pytest.mark.real_data
def test_real_files_of_the_two_tournaments_are_told_apart(real_data):
    swapped = dataclasses.replace(BY_NAME["twitter-tennis-rg17"], file="twitter_tennis_uo17.json.gz")
    with pytest.raises(InvalidDataError, match="node 0 is not 'rolandgarros'"):
        swapped.load("time", Path(real_data))


def test_series_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        BY_NAME["pedalme"].lags = 5  # type: ignore[misc]
    assert isinstance(BY_NAME["pedalme"], Series)
