import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphtasks import InvalidDataError, Split
from graphtasks.splits import combined_hash, mask_splits, per_class_splits

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
    with pytest.raises(InvalidDataError, match=f"{shared} nodes are in more than one part"):
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
