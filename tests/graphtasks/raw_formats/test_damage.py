"""Damaged files of each raw format: an error, or it does not matter."""

import fnmatch
import gc
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from faults import FAULTS, flipped, small_disk
from graphtasks import FileError, InvalidDataError, MissingFilesError, load
from graphtasks.sources.cache import cache_folder
from raw_files import CASES, FORMATS, TUNED_GNN, Case, content_of, leftovers, load_case, tree, write, write_tuned_gnn


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return dict(archive)


@pytest.mark.parametrize(
    "changes",
    [
        {"train": [1, 4]},
        {"train": [0, 48]},
        {"train": [-1]},
        {"train": [0, 0]},
        {"train": []},
        {"train": 0},
        {"train": [[0]]},
        {"train": [0.5]},
        {"train": ["0"]},
        {"train": [True] * 48},
        {"other": [5]},
    ],
    ids=str,
)
def test_tuned_gnn_file_with_bad_content_is_an_error_that_names_it(root, changes):
    case = TUNED_GNN[1]
    write(case, root)
    write_tuned_gnn(case, root, **({"train": [0, 2], "valid": [1], "test": [3, 4]} | changes))
    with pytest.raises(InvalidDataError, match="amazon-photo"):
        load(case.name, root=root, split="tunedgnn")


# Damage that leaves a file which can be read, and which means something else; by file, and what was done to it.
UNNOTICED = {
    "*": ["of another dataset"],
    "ind.*.test.index": ["cut *", "twice", "last line twice", "zeros at the end"],
    "ind.*.y": ["as ind.*"],
    "out1_*.txt": ["cut *", "zeros at the end"],
    "*_split_*.npz": ["as *_split_*.npz"],
    "*.pickle": ["as *"],
    "*.pt": ["as *"],
    "*.npy": ["zeros at the end"],
    "*.mat": ["zeros at the end"],
}


def damages(file: Path, others: Iterable[Path], foreign: Path) -> dict[str, bytes]:
    """Contents that may stand in the place of a file's own: parts of it, more than it, other files."""
    good = file.read_bytes()
    half = len(good) // 2
    ends = {"half": half, "most": 7 * len(good) // 8, "all but 1": len(good) - 1}
    broken = {f"cut to {name}": good[:end] for name, end in ends.items()}
    broken |= {"empty": b"", "zeros at the end": good[:half] + bytes(len(good) - half)}
    broken |= {"zeros appended": good + bytes(9), "text appended": good + b"no data\n", "twice": good + good}
    if file.suffix in (".txt", ".index"):
        broken |= {"last line twice": good + good.splitlines(keepends=True)[-1]}
    broken |= {f"as {other.name}": other.read_bytes() for other in others}
    return {**broken, "of another dataset": foreign.read_bytes()}


def attempt(case: Case, root: Path, file: Path, good: list[object], protocol: str | None = None) -> str:
    """Outcome of a load: 'same' or 'other' data, an 'error' that names dataset or file, or the words of any other."""
    try:
        task = load(case.name, root=root, split=protocol or case.protocol)
    except (InvalidDataError, MissingFilesError) as error:
        message = str(error)
        return "error" if repr(case.name) in message or file.name in message else f"names nothing: {message}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "same" if content_of(task) == good else "other"


def allowed(file: str, damage: str) -> tuple[str, ...]:
    unnoticed = any(
        fnmatch.fnmatch(file, pattern) and any(fnmatch.fnmatch(damage, each) for each in done)
        for pattern, done in UNNOTICED.items()
    )
    return ("error", "same", "other") if unnoticed else ("error", "same")


def files_to_damage(case: Case) -> list[str]:
    """The files of a format, of ten files of splits one or two."""
    name, parent = case.name, case.folder.split("/")[0]
    if parent == "Planetoid":
        files = [f"ind.{name}.{part}" for part in ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")]
        if case.protocol == "public":
            return files
        return [files[-1], f"{name}_split_0.6_0.2_3.npz"]
    if parent in ("WebKB", "WikipediaNetwork", "Actor"):
        splits = "film" if name == "actor" else name
        if name == "chameleon":  # its text files are read as those of texas
            return [f"{splits}_split_0.6_0.2_{i}.npz" for i in (3, 4)]
        return [f"{splits}_split_0.6_0.2_3.npz", "out1_node_feature_label.txt", "out1_graph_edges.txt"]
    return []


# numpy leaves broken archives open, which shows when the exceptions are collected.
broken_archives = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@broken_archives
@pytest.mark.parametrize("case", [case for case in FORMATS if case.name not in ("coauthor-cs", "cornell5")], ids=str)
def test_damaged_file_is_an_error_or_does_not_matter(case, root, tmp_path):
    write(case, root)
    write(case, tmp_path / "other", seed=1)
    good = load_case(case, root)
    names = files_to_damage(case) or sorted(file.name for file in (root / case.folder).iterdir())
    wrong = {}
    for i, name in enumerate(names):
        path = root / case.folder / name
        content = path.read_bytes()
        others = [path.with_name(other) for other in [*names[:i], *names[i + 1 :]][-2:]]
        for damage, broken in damages(path, others, tmp_path / "other" / case.folder / name).items():
            path.write_bytes(broken)
            before = tree(root)
            outcome = attempt(case, root, path, good)
            if outcome not in allowed(name, damage):
                wrong[name, damage] = outcome
            assert tree(root) == before
            assert leftovers() == []
        path.write_bytes(content)
    gc.collect()
    assert load_case(case, root) == good
    assert wrong == {}


@broken_archives
@pytest.mark.parametrize(
    ("case", "path"),
    [
        (CASES["chameleon-filtered-public"], "heterophilous_npz/chameleon_filtered.npz"),
        (TUNED_GNN[1], "splits/amazon-photo_split.npz"),
    ],
    ids=str,
)
def test_changed_byte_of_a_compressed_file_is_an_error_or_does_not_matter(case, path, root):
    write(case, root)
    write_tuned_gnn(TUNED_GNN[1], root, train=range(0, 16), valid=range(16, 32), test=range(32, 48))
    path = root / path
    np.savez_compressed(path, **arrays_of(path))
    content = path.read_bytes()
    protocol = "tunedgnn" if "splits" in path.parts else "public"
    good = content_of(load(case.name, root=root, split=protocol))
    wrong = {}
    for position in range(0, len(content), 13):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x2A]) + content[position + 1 :])
        outcome = attempt(case, root, path, good, protocol)
        if outcome not in ("error", "same"):
            wrong[position] = outcome
    gc.collect()
    assert wrong == {}


UNUSABLE = [
    {"node_labels": -np.ones(48, int)},
    {"node_labels": np.zeros(0, int)},
    {"node_labels": np.zeros((48, 1), int)},
    {"node_labels": np.arange(12)},
    {"node_labels": np.linspace(0, 1, 48)},
    {"node_features": np.float32(1)},
    {"node_features": np.ones(48, np.float32)},
    {"node_features": np.ones((0, 3), np.float32)},
    {"node_features": np.full((48, 3), np.nan, np.float32)},
    {"edges": np.zeros((2, 2, 2), int)},
    {"edges": np.array([[0, 48]])},
    {"edges": np.array([[-1, 0]])},
]


@broken_archives
@pytest.mark.parametrize("key", ["minesweeper-public", "chameleon-filtered-public"])
def test_content_that_cannot_be_learned_from_is_an_error_that_names_it(root, key):
    case = CASES[key]
    write(case, root)
    (path,) = (root / case.folder).iterdir()
    arrays = arrays_of(path)
    wrong = {}
    for changes in UNUSABLE:
        np.savez(path, **(arrays | changes))
        for protocol in ("public", "stratified"):
            outcome = attempt(case, root, path, [], protocol)
            if outcome != "error":
                wrong[protocol, str(changes)] = outcome
    gc.collect()
    assert wrong == {}


@broken_archives
@pytest.mark.parametrize("key", ["minesweeper-public", "chameleon-filtered-public"])
def test_file_without_masks_is_an_error_that_names_it(root, key):
    case = CASES[key]
    write(case, root)
    (path,) = (root / case.folder).iterdir()
    np.savez(path, **{name: array for name, array in arrays_of(path).items() if name != "val_masks"})
    with pytest.raises(InvalidDataError, match="val_mask") as error:
        load(case.name, root=root)
    assert repr(case.name) in str(error.value) or path.name in str(error.value)
    del error
    gc.collect()


def test_features_of_whole_numbers_are_an_error_that_names_the_task_also_if_normalised(root):
    case = CASES["minesweeper-public"]
    write(case, root)
    (path,) = (root / case.folder).iterdir()
    np.savez(path, **(arrays_of(path) | {"node_features": np.eye(48, 3, dtype=int)}))
    for normalize in (False, True):
        with pytest.raises(InvalidDataError, match="'minesweeper'"):
            load("minesweeper", root=root, normalize=normalize)


@pytest.mark.parametrize("key", ["twitch-de-linkx", "peptides-func-public"])
@pytest.mark.parametrize("kept", [0, 100])
def test_broken_cache_is_made_again_or_an_error(root, key, kept):
    case = CASES[key]
    write(case, root)
    good = load_case(case, root)
    for path in cache_folder().rglob("processed/*.pt"):
        path.write_bytes(path.read_bytes()[:kept])
    assert attempt(case, root, root, good) in ("same", "error")


@pytest.mark.parametrize("key", ["twitch-de-linkx", "peptides-func-public"])
def test_faults_of_bytes_in_the_cache_are_made_good(root, key):
    case = CASES[key]
    write(case, root)
    good = load_case(case, root)
    made = {path: path.read_bytes() for path in cache_folder().rglob("*") if path.is_file() and not path.is_symlink()}
    assert {path.name for path in made} >= {"hashes.json"}
    for path, content in made.items():
        for place, damaged in flipped(content, max(2, FAULTS // 15)):
            path.write_bytes(damaged)
            assert load_case(case, root) == good, (path, place)
            assert path.read_bytes() == content
        path.unlink()
        assert load_case(case, root) == good


def test_a_full_cache_is_named(root, tmp_path, monkeypatch):
    case = CASES["twitch-de-linkx"]
    write(case, root)
    with small_disk(tmp_path / "disk", 4):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "disk"))
        with pytest.raises(FileError, match=r"free some space") as error:
            load_case(case, root)
        assert "\n" not in str(error.value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileError, match="cannot write to the cache"):
        load_case(case, root)
