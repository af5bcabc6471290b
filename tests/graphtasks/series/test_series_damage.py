"""Files of series that are damaged or mean something else."""

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphtasks import InvalidDataError
from series_files import CONTENTS, STEPS, chickenpox, every_series, load_series, pedalme, tennis, tree, wikimaths, write


def with_row(content: dict[str, Any], key: str, index: int, row: Any) -> dict[str, Any]:
    content[key][index] = row
    return content


def with_step(content: dict[str, Any], step: int, **changes: Any) -> dict[str, Any]:
    content[str(step)].update(changes)
    return content


def without(content: dict[str, Any], key: str) -> dict[str, Any]:
    del content[key]
    return content


WIKIMATHS, RG17 = "wikimaths", "twitter-tennis-rg17"


DEFECTS = [
    ("chickenpox", [1, 2], "the JSON is a list"),
    ("chickenpox", None, "the JSON is a NoneType"),
    ("chickenpox", {}, "no 'FX', only nothing"),
    ("chickenpox", without(chickenpox(), "edges"), "no 'edges', only node_ids, FX"),
    ("chickenpox", with_row(chickenpox(), "FX", 3, [1.0, 2.0]), "'FX' has rows of unequal lengths"),
    ("chickenpox", with_row(chickenpox(), "FX", 3, [1.0] * 4), "'FX' has rows of unequal lengths"),
    ("chickenpox", with_row(chickenpox(), "FX", 3, 1.0), "'FX' has rows of unequal lengths"),
    ("chickenpox", with_row(chickenpox(), "FX", 3, [1.0, None, 2.0]), "'FX' holds object"),
    ("chickenpox", with_row(chickenpox(), "FX", 3, ["1", "2", "3"]), "'FX' holds <U"),
    ("chickenpox", with_row(chickenpox(), "FX", 3, [1.0, float("nan"), 2.0]), "'FX' holds NaN, infinite"),
    ("chickenpox", with_row(chickenpox(), "FX", 3, [1.0, float("inf"), 2.0]), "'FX' holds NaN, infinite"),
    ("chickenpox", with_row(chickenpox(), "FX", 3, [1.0, 1e39, 2.0]), "too large"),
    ("chickenpox", with_row(chickenpox(), "FX", 3, [1.0, 10**400, 2.0]), "'FX' holds object"),
    ("chickenpox", {**chickenpox(), "FX": [[]] * STEPS}, "there are no nodes"),
    ("chickenpox", {**chickenpox(), "FX": [1.0, 2.0]}, r"'FX' has shape \(2,\), expected \(any, any\)"),
    ("chickenpox", {**chickenpox(), "FX": {}}, "'FX' holds object"),
    ("chickenpox", {**chickenpox(), "FX": []}, "there are no nodes"),
    ("chickenpox", with_row(chickenpox(), "edges", 1, [0, 3]), "'edges' names nodes 0 to 3, but there are 0 to 2"),
    ("chickenpox", with_row(chickenpox(), "edges", 1, [-1, 0]), "'edges' names nodes -1 to 2"),
    ("chickenpox", with_row(chickenpox(), "edges", 1, [0, 1.5]), "'edges' holds float64, expected integers"),
    ("chickenpox", with_row(chickenpox(), "edges", 1, [0, 1, 2]), "'edges' has rows of unequal lengths"),
    ("chickenpox", {**chickenpox(), "edges": [[0, 1, 2]]}, r"'edges' has shape \(1, 3\), expected \(any, 2\)"),
    ("pedalme", {**pedalme(), "weights": [1, 2]}, r"'weights' has shape \(2,\), expected \(3\)"),
    ("pedalme", {**pedalme(), "weights": [1, 2, float("nan")]}, "'weights' holds NaN"),
    ("pedalme", without(pedalme(), "weights"), "no 'weights'"),
    (WIKIMATHS, {**wikimaths(), "time_periods": 19}, "announces 19 steps, but there are 20"),
    (WIKIMATHS, {**wikimaths(), "time_periods": 10**12}, "announces 1000000000000 steps, but there are 20"),
    (WIKIMATHS, {**wikimaths(), "time_periods": "20"}, "'time_periods' is '20'"),
    (WIKIMATHS, {**wikimaths(), "time_periods": True}, "'time_periods' is True"),
    (WIKIMATHS, {**wikimaths(), "time_periods": 0}, "'time_periods' is 0"),
    (WIKIMATHS, without(wikimaths(), "7"), "announces 20 steps, but there are 19"),
    (WIKIMATHS, without({**wikimaths(), "20": {"y": [1, 2]}}, "7"), "no step '7'"),
    (WIKIMATHS, {**wikimaths(), "7": [1, 2]}, "step '7' is a list"),
    (WIKIMATHS, with_step(wikimaths(), 7, y=[1, 2, 3]), r"step '7': 'y' has shape \(3,\), expected \(2\)"),
    (WIKIMATHS, with_step(wikimaths(), 7, y=[1, "many"]), "step '7': 'y' holds <U"),
    (WIKIMATHS, {**wikimaths(), "7": {"index": 7}}, "no step '7': 'y', only index"),
    (RG17, with_step(tennis(), 5, edges=[[0, 1], [1, 4]]), "step '5': 'edges' names nodes 0 to 4"),
    (RG17, with_step(tennis(), 5, edges=[[0, 1]]), r"step '5': 'weights' has shape \(2,\), expected \(1\)"),
    (RG17, with_step(tennis(), 19, edges=[[0, 9]]), "step '19': 'edges' names nodes"),
    (RG17, with_step(tennis(), 5, X=[[1, 2]] * 3), r"step '5': 'X' has shape \(3, 2\), expected \(4, 2\)"),
    (RG17, with_step(tennis(), 5, X=[[1, 2, 3]] * 4), r"step '5': 'X' has shape \(4, 3\), expected \(4, 2\)"),
    (RG17, with_step(tennis(), 5, y=[1, 2, -1, 0]), "negative numbers of mentions"),
    (RG17, {**tennis(), **{str(step): {**tennis()["0"], "y": []} for step in range(STEPS)}}, "there are no nodes"),
    (RG17, {**tennis(), "node_ids": ["rolandgarros"]}, "node 0 is not 'rolandgarros'"),
]


@pytest.mark.parametrize(("name", "content", "message"), DEFECTS)
def test_defect_is_an_error_that_names_file_and_defect(root, name, content, message):
    path = write(root, name, content)
    before = tree(root)
    with pytest.raises(InvalidDataError, match=message) as error:
        load_series(root, name)
    assert str(error.value).startswith(f"{path} cannot be read as {name!r}")
    assert tree(root) == before


@pytest.mark.parametrize(("name", "other"), list(itertools.permutations(CONTENTS, 2)))
def test_file_of_another_series_is_an_error(root, name, other):
    path = write(root, name, CONTENTS[other]())
    with pytest.raises(InvalidDataError) as error:
        load_series(root, name)
    assert str(error.value).startswith(f"{path} cannot be read as {name!r}")


@every_series
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_truncated_file_is_an_error_that_leaves_it_alone(root, name, packed, kept):
    path = write(root, name, CONTENTS[name](), packed)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    before = tree(root)
    with pytest.raises(InvalidDataError) as error:
        load_series(root, name)
    assert str(error.value).startswith(f"{path} cannot be read as {name!r}")
    assert tree(root) == before


@pytest.mark.parametrize(
    "content",
    [b"edges: none", b"\xff\xfe\xfa", b"[" * 100_000, b'{"FX": ' + b"9" * 5000 + b"}", b"<html>404</html>"],
    ids=["words", "bytes", "deep", "long", "page"],
)
@pytest.mark.parametrize("packed", [True, False])
def test_file_that_is_no_json_is_an_error(root, content, packed):
    path = write(root, "chickenpox", {}, packed)
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(InvalidDataError, match="cannot be read as 'chickenpox'"):
        load_series(root, "chickenpox")


def test_json_under_a_packed_name_is_an_error(root):
    path = write(root, "chickenpox", chickenpox())
    path.write_bytes(json.dumps(chickenpox()).encode())
    with pytest.raises(InvalidDataError, match="BadGzipFile"):
        load_series(root, "chickenpox")


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_changed_bytes_give_data_or_a_named_error(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("root")
    name = data.draw(st.sampled_from(list(CONTENTS)))
    path = write(root, name, CONTENTS[name](), packed=data.draw(st.booleans()))
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    check_data_or_named_error(root, path, name)
    assert path.read_bytes() == raw


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_changed_values_give_data_or_a_named_error(tmp_path_factory, data):
    root = tmp_path_factory.mktemp("root")
    name = data.draw(st.sampled_from(list(CONTENTS)))
    content = CONTENTS[name]()
    place, key = content, data.draw(st.sampled_from(sorted(content)))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(JSON)
    check_data_or_named_error(root, write(root, name, content), name)


def check_data_or_named_error(root: Path, path: Path, name: str) -> None:
    try:
        task = load_series(root, name)
    except InvalidDataError as caught:
        message = str(caught)
        assert str(path) in message
        return
    num_nodes = len(task.data[0].y)
    for snapshot in task.data:
        assert snapshot.x.shape[0] == snapshot.y.shape[0] == num_nodes
        assert torch.isfinite(snapshot.x).all()
        assert torch.isfinite(snapshot.y).all()
        assert set(snapshot.edge_index.flatten().tolist()) <= set(range(num_nodes))
