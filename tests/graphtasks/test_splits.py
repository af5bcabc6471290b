import hashlib
import pickle
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphtasks import (
    InvalidDataError,
    LinkSplit,
    MissingFilesError,
    Split,
    load,
    load_splits,
    random_splits,
    save_splits,
    stratified_splits,
)
from graphtasks.splits import combined_hash, mask_splits, per_class_splits, time_splits, tuned_gnn_split

SETTINGS = settings(deadline=None, derandomize=True, max_examples=30)
NODES = 12


@st.composite
def parts(draw):
    """Three non-empty disjoint lists of nodes, in any order."""
    order = draw(st.permutations(range(NODES)))
    first = draw(st.integers(1, NODES - 2))
    second = draw(st.integers(first + 1, NODES - 1))
    last = draw(st.integers(second + 1, NODES))
    return order[:first], order[first:second], order[second:last]


def as_split(parts):
    return Split(*(torch.tensor(part) for part in parts))


def as_mask(part):
    return torch.tensor([node in part for node in range(NODES)])


@SETTINGS
@given(parts())
def test_hash_depends_on_the_nodes_and_not_on_their_order_or_form(parts):
    expected = as_split(parts).hash
    assert as_split([sorted(part) for part in parts]).hash == expected
    assert Split(*(torch.tensor(part, dtype=torch.int32) for part in parts)).hash == expected
    assert Split(*map(as_mask, parts)).hash == expected


@SETTINGS
@given(parts())
def test_hash_changes_with_one_node(parts):
    train, val, test = parts
    expected = as_split(parts).hash
    assert as_split(([NODES, *train[1:]], val, test)).hash != expected
    assert as_split((train, [*val, NODES], test)).hash != expected
    assert as_split((val, train, test)).hash != expected


@SETTINGS
@given(parts())
def test_hash_is_the_sha256_of_the_sorted_lists_and_their_lengths(parts):
    content = b"".join(struct.pack(f"<{1 + len(part)}q", len(part), *sorted(part)) for part in parts)
    assert as_split(parts).hash == hashlib.sha256(content).hexdigest()[:16]


def test_hash_of_a_known_split_is_what_it_always_was():
    split = as_split(([3, 0], [1], [5, 2, 4]))
    assert split.hash == "28ac9b54d313eb3e"
    assert combined_hash([split, split]) == hashlib.sha256(2 * b"28ac9b54d313eb3e").hexdigest()[:16]


def test_hash_tells_where_one_part_ends():
    indices = torch.arange(4)
    assert Split(indices[:1], indices[1:2], indices[2:]).hash != Split(indices[:1], indices[1:3], indices[3:]).hash


@SETTINGS
@given(parts())
def test_parts_are_sorted_and_found_by_name(parts):
    split = as_split(parts)
    for name, part in zip(("train", "val", "test"), parts, strict=True):
        assert split[name].tolist() == sorted(part)
        assert split[name].dtype == torch.int64


@pytest.mark.parametrize(("shared", "parts"), [(1, ([0, 1], [1, 2], [3])), (2, ([0, 1], [2], [0, 1]))])
def test_overlapping_parts_are_rejected(shared, parts):
    with pytest.raises(InvalidDataError, match=f"{shared} entries are in more than one part"):
        as_split(parts)


@pytest.mark.parametrize("empty", ["train", "val", "test"])
def test_empty_parts_are_rejected(empty):
    parts = {"train": torch.tensor([0]), "val": torch.tensor([1]), "test": torch.tensor([2])}
    with pytest.raises(InvalidDataError, match=f"the {empty} part of the split is empty"):
        Split(**{**parts, empty: torch.zeros(3, dtype=torch.bool)})


def test_unknown_part_is_rejected():
    with pytest.raises(InvalidDataError, match="got part 'valid'"):
        as_split(([0], [1], [2]))["valid"]


def test_combined_hash_depends_on_the_order_of_splits():
    first, second = as_split(([0], [1], [2])), as_split(([1], [0], [2]))
    assert combined_hash([first, second]) != combined_hash([second, first])
    assert combined_hash([first, second]) == combined_hash([as_split(([0], [1], [2])), second])


@SETTINGS
@given(
    labels=st.lists(st.integers(-1, 2), max_size=20).map(lambda few: torch.tensor([*few, *[0] * 8])),
    per_class=st.integers(1, 5),
    max_val=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_per_class_splits_count_as_documented(labels, per_class, max_val, seed):
    splits = per_class_splits(labels, per_class, max_val=max_val, count=3, seed=seed)
    assert len(splits) == 3
    for split in splits:
        for label in labels[labels >= 0].unique():
            assert (labels[split.train] == label).sum() == min(per_class, int((labels == label).sum()))
        rest = int((labels >= 0).sum()) - len(split.train)
        assert len(split.val) == min(max_val, rest // 2)
        together = torch.cat([split.train, split.val, split.test]).sort().values
        assert together.tolist() == (labels >= 0).nonzero().view(-1).tolist()


def test_per_class_splits_differ_and_depend_on_seed_plus_index_alone():
    labels = torch.arange(60) % 3
    hashes = [split.hash for split in per_class_splits(labels, 5, count=4, seed=7)]
    assert len(set(hashes)) == 4
    assert [split.hash for split in per_class_splits(labels, 5, count=2, seed=9)] == hashes[2:]


def test_per_class_splits_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    per_class_splits(torch.arange(30) % 3, 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_mask_columns_become_splits():
    train = torch.tensor([[1, 0], [0, 1], [0, 0], [0, 0]], dtype=torch.uint8)
    val = torch.tensor([[False, True], [True, False], [False, False], [False, False]])
    test = torch.tensor([False, False, True, True])
    first, second = mask_splits((train, val, test), 4)
    assert (first.train.tolist(), first.val.tolist(), first.test.tolist()) == ([0], [1], [2, 3])
    assert (second.train.tolist(), second.val.tolist(), second.test.tolist()) == ([1], [0], [2, 3])


def test_mask_columns_must_agree():
    columns = torch.eye(9, dtype=torch.bool)
    with pytest.raises(InvalidDataError, match=r"hold \[2, 3\] splits"):
        mask_splits((columns[:, :3], columns[:, 3:5], columns[:, 5:6]), 9)


@pytest.mark.parametrize("mask", [torch.ones(3, dtype=torch.bool), torch.tensor([0, 1, 2, 3]), torch.tensor(True)])
def test_masks_must_be_of_the_graph(mask):
    with pytest.raises(InvalidDataError, match="train_mask"):
        mask_splits((mask, mask, mask), 4)


@pytest.mark.parametrize("train", [[-1], [1, 1], [0.5], [[True]]])
def test_parts_must_be_lists_of_nodes(train):
    with pytest.raises(InvalidDataError, match="the train part"):
        Split(torch.tensor(train), torch.tensor([2]), torch.tensor([3]))


def assert_seeds_count_from_the_first(make):
    """`make(count, seed)`: split `i` depends on `seed + i` alone, and no generator but its own is used."""
    before = torch.get_rng_state()
    hashes = [split.hash for split in make(count=4, seed=7)]
    assert torch.equal(torch.get_rng_state(), before)
    assert len(set(hashes)) == 4
    assert [split.hash for split in make(count=2, seed=9)] == hashes[2:]


def test_splits_depend_on_seed_plus_index_alone():
    assert_seeds_count_from_the_first(lambda **options: random_splits(60, **options))
    assert_seeds_count_from_the_first(lambda **options: stratified_splits(torch.arange(60) % 3, **options))


SHARES = st.sampled_from([(0.6, 0.2), (0.5, 0.25), (0.48, 0.32), (0.1, 0.1)])


@SETTINGS
@given(num_items=st.integers(10, 99), shares=SHARES, seed=st.integers(0, 99))
def test_random_splits_are_a_partition_with_the_given_shares(num_items, shares, seed):
    for split in random_splits(num_items, shares, count=2, seed=seed):
        assert torch.cat([split.train, split.val, split.test]).sort().values.tolist() == list(range(num_items))
        assert abs(len(split.train) - shares[0] * num_items) <= 0.5
        assert abs(len(split.train) + len(split.val) - sum(shares) * num_items) <= 0.5


@SETTINGS
@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    unlabelled=st.integers(0, 5),
    shares=SHARES,
    seed=st.integers(0, 99),
)
def test_stratified_splits_share_each_class_to_the_nearest_node(sizes, unlabelled, shares, seed):
    counts = [*sizes, 20]  # the last class is large enough for all parts
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])
    labels = torch.cat([labels, torch.full((unlabelled,), -1)])
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    for split in stratified_splits(labels, shares, count=2, seed=seed):
        together = torch.cat([split.train, split.val, split.test]).sort().values
        assert together.tolist() == (labels >= 0).nonzero().view(-1).tolist()
        for label, count in enumerate(counts):
            train, val = (int((labels[part] == label).sum()) for part in (split.train, split.val))
            assert abs(train - shares[0] * count) <= 0.5 + 1e-9
            assert abs(train + val - sum(shares) * count) <= 0.5 + 1e-9


@pytest.mark.parametrize("make", [lambda: random_splits(1), lambda: stratified_splits(torch.tensor([0, 1, -1]))])
def test_too_few_items_leave_a_part_empty(make):
    with pytest.raises(InvalidDataError, match="part of the split is empty"):
        make()


@SETTINGS
@given(st.integers(6, 600))
def test_time_splits_follow_time(num_snapshots):
    (split,) = time_splits(num_snapshots)
    assert torch.cat([split.train, split.val, split.test]).tolist() == list(range(num_snapshots))
    assert abs(len(split.train) - 0.7 * num_snapshots) <= 0.5 + 1e-9
    assert abs(len(split.test) - 0.2 * num_snapshots) <= 0.5 + 1e-9


@pytest.mark.parametrize("num_snapshots", range(6))
def test_time_splits_of_a_short_series_are_an_error(num_snapshots):
    with pytest.raises(InvalidDataError, match="part of the split is empty"):
        time_splits(num_snapshots)


def published_tuned_gnn_split(label, per_class=20, num_val=500, num_test=1000):
    """`class_rand_splits` after `fix_seed(123)`, as in medium_graph of https://github.com/LUOyk1999/tunedGNN."""
    with torch.random.fork_rng():
        torch.manual_seed(123)
        train, rest = [], []
        for c in label.unique():
            members = (label == c).nonzero().flatten()
            members = members[torch.randperm(members.shape[0])]
            train += members[:per_class].tolist()
            rest += members[per_class:].tolist()
        rest = torch.as_tensor(rest)
        rest = rest[torch.randperm(rest.shape[0])]
    return sorted(train), sorted(rest[:num_val].tolist()), sorted(rest[num_val : num_val + num_test].tolist())


def assert_tuned_gnn(labels):
    (split,) = tuned_gnn_split(labels)
    assert tuple(part.tolist() for part in (split.train, split.val, split.test)) == published_tuned_gnn_split(labels)
    assert labels[split.train].bincount().tolist() == [20] * int(labels.max() + 1)
    assert (len(split.val), len(split.test)) == (500, 1000)


@settings(deadline=None, derandomize=True, max_examples=10)
@given(num_classes=st.integers(1, 7), seed=st.integers(0, 99))
def test_tuned_gnn_split_is_the_published_one(num_classes, seed):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(num_classes, (2000,), generator=generator)
    before = torch.get_rng_state()
    assert_tuned_gnn(torch.cat([torch.arange(num_classes).repeat(20), drawn]))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["cora", "citeseer"])
def test_tuned_gnn_split_of_real_labels_is_the_published_one(name, real_data):
    task = load(name, split="tunedgnn")
    assert_tuned_gnn(task.data.y)
    assert task.split(0).hash == tuned_gnn_split(task.data.y)[0].hash


LINKS = {
    "train": [[0, 1], [1, 2]],
    "val": [[2], [3]],
    "test": [[3, 0], [4, 4]],
    "val_neg": [[0], [2]],
    "test_neg": [[1, 4], [4, 2]],
}
ARRAYS = tuple(LINKS)


def link_split(undirected=True, repeated_pairs=False, **changes):
    arrays = {name: torch.tensor(pairs) for name, pairs in {**LINKS, **changes}.items()}
    return LinkSplit(**arrays, undirected=undirected, repeated_pairs=repeated_pairs)


def test_messages_are_training_edges_and_for_the_test_validation_edges():
    directed, both = link_split(undirected=False), link_split()
    for part in ("train", "val"):
        assert directed.messages(part).tolist() == [[0, 1], [1, 2]]
        assert both.messages(part).tolist() == [[0, 1, 1, 2], [1, 2, 0, 1]]
    assert directed.messages("test").tolist() == [[0, 1, 2], [1, 2, 3]]
    assert both.messages("test").tolist() == [[0, 1, 2, 1, 2, 3], [1, 2, 3, 0, 1, 2]]


def test_pairs_are_edges_and_after_them_negatives():
    split = link_split()
    pairs, labels = split.pairs("val")
    assert (pairs.tolist(), labels.tolist(), labels.dtype) == ([[2, 0], [3, 2]], [1, 0], torch.int64)
    pairs, labels = split.pairs("test")
    assert (pairs.tolist(), labels.tolist()) == ([[3, 0, 1, 4], [4, 4, 4, 2]], [1, 1, 0, 0])


def test_training_negatives_are_not_fixed():
    with pytest.raises(InvalidDataError, match="the train part has no fixed negatives"):
        link_split().pairs("train")


def test_unknown_part_of_links_is_rejected():
    for method in (link_split().messages, link_split().pairs):
        with pytest.raises(InvalidDataError, match="got part 'valid', expected 'train', 'val' or 'test'"):
            method("valid")


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([0, 1], r"has shape \(2,\)"),
        ([[0], [1], [2]], r"has shape \(3, 1\)"),
        ([[], []], r"has shape \(2, 0\)"),
        ([[0.0], [1.0]], r"has shape \(2, 1\) and dtype torch.float32"),
        ([[True], [False]], r"has shape \(2, 1\) and dtype torch.bool"),
        ([[0], [-1]], "has negative node indices"),
    ],
)
def test_parts_must_be_lists_of_edges(array, value, message):
    with pytest.raises(InvalidDataError, match=f"the {array} part of the link split {message}"):
        link_split(**{array: value})


@pytest.mark.parametrize("undirected", [True, False])
@pytest.mark.parametrize(
    ("known", "asked"),
    [("train", "val"), ("train", "test"), ("val", "test")]
    + [(known, asked) for known in ("train", "val", "test") for asked in ("val_neg", "test_neg")],
)
def test_edges_to_predict_are_in_no_earlier_part_and_no_negatives(known, asked, undirected):
    leaked = [[node] for node in (row[0] for row in LINKS[known])]
    with pytest.raises(InvalidDataError, match=f"1 pairs of the {asked} part of the link split are edges of an earlie"):
        link_split(undirected, **{asked: leaked})
    if undirected:
        with pytest.raises(InvalidDataError, match=f"1 pairs of the {asked} part"):
            link_split(undirected, **{asked: leaked[::-1]})
    else:  # the other direction is another edge
        assert getattr(link_split(undirected, **{asked: leaked[::-1]}), asked).tolist() == leaked[::-1]


def test_pairs_may_repeat_where_the_data_say_so():
    repeated = {"val": LINKS["train"], "test": LINKS["train"]}
    with pytest.raises(InvalidDataError, match="2 pairs of the val part"):
        link_split(**repeated)
    assert link_split(repeated_pairs=True, **repeated).val.tolist() == LINKS["train"]


@pytest.mark.parametrize("array", ARRAYS)
def test_hash_of_links_changes_with_each_array(array):
    other = {array: [*LINKS[array][:1], [9] * len(LINKS[array][1])]}
    assert link_split(**other).hash != link_split().hash
    assert link_split(**{array: LINKS[array]}).hash == link_split().hash


def test_hash_of_links_tells_directions_and_parts():
    moved = {"train": [[0, 1, 2], [1, 2, 3]], "val": [[3], [4]], "test": [[0], [4]]}
    assert len({link_split().hash, link_split(undirected=False).hash, link_split(**moved).hash}) == 3


def splits_of(kind):
    if kind == "link":
        swapped = {"val": LINKS["test"], "test": LINKS["val"]}
        return [link_split(), link_split(undirected=False, **swapped), link_split(repeated_pairs=True, val=[[0], [1]])]
    return random_splits(30, count=3)


@pytest.mark.parametrize("kind", ["node", "link"])
def test_written_splits_are_read_as_they_were(kind, tmp_path):
    splits, path = splits_of(kind), tmp_path / "splits"  # without the suffix that NumPy would add
    save_splits(splits, path)
    assert [file.name for file in tmp_path.iterdir()] == ["splits"]
    read = load_splits(path)
    assert combined_hash(read) == combined_hash(splits)
    for old, new in zip(splits, read, strict=True):
        assert type(new) is type(old)
        for key, value in vars(old).items():
            if key != "hash":
                assert np.array_equal(getattr(new, key), value), key


@pytest.mark.parametrize("kind", ["node", "link"])
def test_arrays_of_a_file_are_named_by_split_and_part(kind, tmp_path):
    splits, path = splits_of(kind), tmp_path / "splits.npz"
    save_splits(splits, path)
    names = ["train", "val", "test"] + (
        ["val_neg", "test_neg", "undirected", "repeated_pairs", "val_messages"] * (kind == "link")
    )
    with np.load(path) as archive:
        assert sorted(archive.files) == sorted(f"{i}.{name}" for i in range(3) for name in names)
        assert archive["1.val"].tolist() == splits[1].val.tolist()
        assert archive["1.val"].dtype == np.int64


def test_absent_file_is_an_error_that_says_how_to_write_one(tmp_path):
    with pytest.raises(MissingFilesError, match=r"there is no split file .*none\.npz: `graphtasks splits NAME --out"):
        load_splits(tmp_path / "none.npz")


@pytest.mark.parametrize("kind", ["node", "link"])
def test_truncated_file_is_an_error(kind, tmp_path):
    path = tmp_path / "splits.npz"
    save_splits(splits_of(kind)[:1], path)
    whole = path.read_bytes()
    for end in range(0, len(whole), 19):
        path.write_bytes(whole[:end])
        with pytest.raises(InvalidDataError, match="cannot be read as splits"):
            load_splits(path)


@pytest.mark.parametrize("kind", ["node", "link"])
def test_damaged_file_is_an_error_or_read_as_it_was(kind, tmp_path):
    path = tmp_path / "splits.npz"
    splits = splits_of(kind)[:1]
    save_splits(splits, path)
    whole, errors = path.read_bytes(), 0
    positions = range(0, len(whole), 5)
    for i in positions:
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1 :])
        try:
            assert combined_hash(load_splits(path)) == combined_hash(splits)
        except InvalidDataError:
            errors += 1
    assert errors > len(positions) // 2


def written(path, **arrays):
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return path


NODES_OF = {"0.train": np.array([0]), "0.val": np.array([1]), "0.test": np.array([2])}
LINKS_OF = {f"0.{name}": np.array(pairs) for name, pairs in LINKS.items()} | {
    "0.undirected": np.array(True),
    "0.repeated_pairs": np.array(False),
    "0.val_messages": np.array(True),
}


@pytest.mark.parametrize(
    ("arrays", "changes"),
    [
        (NODES_OF, {"0.test": None}),
        (NODES_OF, {"1.train": np.array([0])}),
        (NODES_OF, {"x": np.eye(3)}),
        (NODES_OF, {"0.train": np.array([1])}),
        (NODES_OF, {"0.train": np.array([0.5])}),
        (NODES_OF, {"0.train": np.array([-1])}),
        (NODES_OF, {"0.train": np.array(["a"])}),
        (NODES_OF, {"0.train": np.array([], dtype=np.int64)}),
        (LINKS_OF, {"0.undirected": None}),
        (LINKS_OF, {"0.val_neg": None}),
        (LINKS_OF, {"0.val": np.array([[0], [1]])}),
        (LINKS_OF, {"0.val": np.array([2, 3])}),
        (LINKS_OF, {"0.undirected": np.array([True, False])}),
        (LINKS_OF, {"0.repeated_pairs": np.array([], dtype=bool)}),
    ],
)
def test_file_of_something_else_is_an_error(arrays, changes, tmp_path):
    path = written(tmp_path / "splits.npz", **arrays)
    assert len(load_splits(path)) == 1
    changed = {key: value for key, value in {**arrays, **changes}.items() if value is not None}
    with pytest.raises(InvalidDataError):
        load_splits(written(path, **changed))


def test_error_names_the_file_and_what_it_holds(tmp_path):
    path = written(tmp_path / "graph.npz", x=np.eye(3), y=np.arange(3))
    with pytest.raises(
        InvalidDataError, match=r"graph\.npz holds the arrays x, y .*expected train, val, test for each"
    ):
        load_splits(path)


@pytest.mark.parametrize("content", [b"", b"train: 0 1 2\n", pickle.dumps({"0.train": [0]}), b"PK\x05\x06" + bytes(18)])
def test_file_of_another_format_is_an_error(content, tmp_path):
    (tmp_path / "splits.npz").write_bytes(content)
    with pytest.raises(InvalidDataError, match=r"splits\.npz"):
        load_splits(tmp_path / "splits.npz")


def test_array_file_is_an_error(tmp_path):
    with (tmp_path / "splits.npz").open("wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(InvalidDataError, match="cannot be read as splits"):
        load_splits(tmp_path / "splits.npz")


class Dangerous:
    """An object that runs code when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("a pickled object was loaded",)


def test_pickled_objects_are_not_loaded(tmp_path):
    path = written(tmp_path / "splits.npz", **{**NODES_OF, "0.train": np.array([Dangerous()], dtype=object)})
    with pytest.raises(InvalidDataError, match="cannot be read as splits"):
        load_splits(path)
