"""Runs of users' own modules, data and files."""

import importlib
import json

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

import gnndiff
import graphtasks
from gnndiff import GNNDiffPipeline, Results, Run
from gnndiff.errors import ConfigError, RunFolderError
from gnndiff.predict import predict_run
from gnndiff.runs.deliver import Best

TINY = {
    "trials": 2,
    "epochs": 4,
    "settings": 1,
    "initialisations": 2,
    "snapshots": 1,
    "retrainings": 2,
    "generator_steps": 5,
    "candidates": 4,
    "resamplings": 1,
    "members": 2,
    "refine_epochs": 2,
    "finalists": 1,
    "finalist_trainings": 1,
    "zoo": "independent",
    "quiet": True,
}


class Net(torch.nn.Module):
    def __init__(self, features, hidden, outputs):
        super().__init__()
        self.conv1, self.conv2 = GCNConv(features, hidden), GCNConv(hidden, outputs)

    def forward(self, x, edge_index, edge_weight=None):
        return self.conv2(self.conv1(x, edge_index, edge_weight).relu(), edge_index, edge_weight)


def build(task, hidden):
    return Net(task.num_features, hidden, task.num_outputs)


def graph(nodes=40, *, values=False, weights=False, seed=0):
    """A random undirected graph whose classes, or values, are told by its features."""
    generator = torch.Generator().manual_seed(seed)
    half = torch.randint(nodes, (2, 3 * nodes), generator=generator)
    x = torch.randn(nodes, 4, generator=generator)
    data = Data(x=x, edge_index=torch.cat([half, half.flip(0)], dim=1), y=(x[:, 0] > 0).long())
    if values:
        data.y = 10 + x[:, 0]
    if weights:
        data.edge_weight = torch.rand(half.size(1), generator=generator).repeat(2)
    return data


def own_task(**options):
    return graphtasks.from_data(graph(**options), name="own", splits=graphtasks.random_splits(40, count=2))


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A finished run of a function on a graph of one's own."""
    folder = tmp_path_factory.mktemp("own") / "run"
    return gnndiff.run(build, own_task(), space={"hidden": [4, 8]}, out=folder, **TINY)


def test_a_function_on_a_graph_goes_through_all_stages(own):
    assert isinstance(own, Results)
    assert {row["name"] for row in own.rows} >= {"coarse_winner", "best_checkpoint", "generated_best"}
    module, best = build(own_task(), own.best.setting["hidden"]), own.best
    module.load_state_dict(best.state_dict)
    task = own_task()
    assert task.evaluate(graphtasks.predict(module, task), 0, "test") == pytest.approx(best.test)
    assert task.evaluate(graphtasks.predict(module, task, 0, "val"), 0, "val") == pytest.approx(best.val)


def test_nothing_is_aligned_that_was_not_declared(own):
    assert own.data["alignment"].startswith("not aligned")


def test_generated_states_load_into_the_module(own):
    folder = own.folder / "generator"
    pipeline = GNNDiffPipeline.from_pretrained(folder, target=gnndiff.targets.FunctionTarget(build, {}))
    module, prepared = pipeline.build(own_task())
    for state in pipeline.generate(3, generator=torch.Generator().manual_seed(0)):
        module.load_state_dict(state)
        assert bool(graphtasks.predict(module, prepared).isfinite().all())
    with pytest.raises(ConfigError, match="one of your own"):
        GNNDiffPipeline.from_pretrained(folder).build(own_task())


def test_the_same_call_goes_on_and_another_is_refused(own):
    again = gnndiff.run(build, own_task(), space={"hidden": [4, 8]}, out=own.folder, **TINY)
    assert again.rows == own.rows
    with pytest.raises(RunFolderError, match="choices"):
        gnndiff.run(build, own_task(), space={"hidden": [4]}, out=own.folder, **TINY)
    with pytest.raises(RunFolderError, match="data_hash"):
        gnndiff.run(build, own_task(seed=1), space={"hidden": [4, 8]}, out=own.folder, **TINY)
    with pytest.raises(RunFolderError, match="target"):
        gnndiff.run(
            lambda task, hidden: Net(4, hidden, 2), own_task(), space={"hidden": [4, 8]}, out=own.folder, **TINY
        )


def test_constants_of_the_method_are_part_of_a_run(own):
    config = json.loads((own.folder / "config.json").read_text())
    assert config["method"]["edge_drop"] == 0.1
    assert set(config["versions"]) == {"torch", "torch-geometric", "dmdgnn"}
    other = gnndiff.config.Method(edge_drop=0.2)
    with pytest.raises(RunFolderError, match="method"):
        gnndiff.run(build, own_task(), space={"hidden": [4, 8]}, out=own.folder, method=other, **TINY)


def test_a_run_of_one_s_own_is_loaded_with_its_parts(own):
    with pytest.raises(ConfigError, match="pass it as target="):
        Run.load(own.folder)
    target = gnndiff.targets.FunctionTarget(build, {"hidden": [4, 8]})
    with pytest.raises(ConfigError, match="pass it as task="):
        Run.load(own.folder, target=target)
    run = Run.load(own.folder, target=target, task=own_task())
    assert "finished=search, collect, train, generate, compare" in repr(run)
    outputs = predict_run(run)["outputs"]
    assert run.task.evaluate(torch.from_numpy(outputs), 0, "test") == pytest.approx(own.best.test)


def test_reprs_are_short(own):
    assert "best" in repr(own)
    assert len(repr(own)) < 300
    told = own.to_markdown()
    assert all(row["pool"] in told and row["form"] in told for row in own.rows if row["pool"] != "search")
    assert all(row["name"] in told for row in own.rows if row["pool"] == "search")
    assert "state_dict" not in repr(own.best)


def test_weights_of_edges_are_dropped_with_them(tmp_path):
    results = gnndiff.run("gcn", own_task(weights=True), out=tmp_path / "run", **TINY)
    assert results.rows


def test_errors_are_minimised(tmp_path):
    """Values around 10: a network that answers nothing has an error of 100."""
    settings = {**TINY, "trials": 4, "epochs": 30, "patience": 30}
    space = {"hidden": [8], "lr": [0.05, 1e-6], "optimizer": ["adam"], "weight_decay": [0.0]}
    results = gnndiff.run(build, own_task(values=True), space=space, out=tmp_path / "run", **settings)
    rows = {row["name"]: row["val"]["mean"] for row in results.rows}
    assert results.data["direction"] == "minimize"
    assert results.best.setting["lr"] > 1e-6
    assert rows["best_checkpoint"] < 60
    assert results.best.val < 60
    assert rows["noise_best_of_n"] < 100


def test_settings_that_cannot_be_computed_lose(tmp_path):
    from dmdgnn.errors import RankError

    def sometimes(task, hidden, rank):
        if rank == 50:
            raise RankError("rank 50 is larger than 40")
        return build(task, hidden)

    space = {"hidden": [4], "rank": [50, 3], "lr": [0.01, 0.02]}
    results = gnndiff.run(sometimes, own_task(), space=space, out=tmp_path / "run", **{**TINY, "trials": 8})
    assert results.best.setting["rank"] == 3


@pytest.mark.parametrize("model", ["dmdgnn", "graphdmd"])
def test_modes_are_fitted_once_for_each_preparation(model, tmp_path, monkeypatch):
    from dmdgnn import DMD
    from gnndiff.search import finished_trials, search
    from gnndiff.targets.base import preparation

    fits, fit = [], DMD.fit
    monkeypatch.setattr(DMD, "fit", lambda *args, **kwargs: fits.append(args) or fit(*args, **kwargs))
    run = Run(gnndiff.RunConfig(task="wine", model=model, out=tmp_path / "run", **{**TINY, "trials": 8}))
    search(run)
    settings = [trial.params for trial in finished_trials(run, "search")]
    corners = [{name: choices[end] for name, choices in run.space.items()} for end in (0, -1)]
    different = {json.dumps(preparation(run.target, setting)) for setting in [*settings, *corners]}
    assert len(fits) == len(different) < len(settings)


BAD = {
    "no space": (lambda: gnndiff.run(build, own_task()), "has no space"),
    "a module": (lambda: gnndiff.run(Net(4, 8, 2), own_task(), space={}), "expected a function that makes one"),
    "a number": (lambda: gnndiff.run(3, own_task(), space={}), "expected a name, a gnndiff.Target or a function"),
    "an unknown name": (lambda: gnndiff.run("gcnn", "wine"), "did you mean 'gcn'"),
    "a text of choices": (lambda: gnndiff.run(build, own_task(), space={"hidden": "4"}), "expected a list of values"),
    "an argument less": (lambda: gnndiff.run(build, own_task(), space={}), "lacks 'hidden'"),
    "an argument more": (
        lambda: gnndiff.run(build, own_task(), space={"hidden": [4], "depth": [2]}),
        "does not take 'depth'",
    ),
    "an unknown override": (lambda: gnndiff.run("gcn", "wine", tirals=3), "does not take 'tirals'"),
    "no trials": (lambda: gnndiff.run("gcn", "wine", trials=0), "trials=0, expected at least 1"),
    "another kind": (lambda: gnndiff.run("dmdgru", "wine"), "of kind 'temporal'"),
    "no task": (lambda: gnndiff.run("gcn", "wien"), "did you mean 'wine'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named_before_anything_is_written(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, message = BAD[name]
    with pytest.raises((ConfigError, graphtasks.GraphTasksError), match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def growing(task, hidden, dropout):
    return Net(task.num_features, hidden if dropout < 0.5 else 2 * hidden, task.num_outputs)


BROKEN = {
    "parameters that change with dropout": (growing, {"hidden": [4], "dropout": [0.1, 0.9]}, "act in training alone"),
    "outputs of another size": (lambda task, hidden: Net(4, hidden, 1), {"hidden": [4]}, "scores of shape|fails on"),
    "an input of another size": (lambda task, hidden: Net(5, hidden, 2), {"hidden": [4]}, "fails on 'own'"),
    "an error in build": (lambda task, hidden: 1 / 0, {"hidden": [4]}, "ZeroDivisionError"),
    "no module": (lambda task, hidden: hidden, {"hidden": [4]}, "expected a torch.nn.Module"),
    "no parameters": (lambda task, hidden: torch.nn.ReLU(), {"hidden": [4]}, "without parameters"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_target_is_named_before_the_search(name, tmp_path):
    function, space, message = BROKEN[name]
    with pytest.raises((ConfigError, graphtasks.GraphTasksError), match=message) as caught:
        gnndiff.run(function, own_task(), space=space, out=tmp_path / "run", **TINY)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


OWN_FILE = """
import torch
from torch_geometric.data import Data
from torch_geometric.nn.models import GCN
import graphtasks

def model(task, hidden):
    return GCN(task.num_features, hidden, num_layers=2, out_channels=task.num_classes)

model.space = {"hidden": [4, 8]}

def task():
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    edges = torch.arange(30).repeat(2, 1)
    data = Data(x=x, y=(x[:, 0] > 0).long(), edge_index=torch.cat([edges, edges.flip(0)], dim=1))
    return graphtasks.from_data(data, name="mine", splits=graphtasks.random_splits(30, count=1))
"""


def test_files_and_folders_of_one_s_own_on_the_command_line(tmp_path, capsys):
    from gnndiff.cli import main

    (tmp_path / "mine.py").write_text(OWN_FILE)
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items() if name != "quiet"]
    main(
        [
            *("run", "--task", f"{tmp_path / 'mine.py'}:task", "--model", f"{tmp_path / 'mine.py'}:model", "--quiet"),
            *("--out", str(tmp_path / "run"), *flags),
        ]
    )
    main(["show", str(tmp_path / "run")])
    assert capsys.readouterr().out.count("test accuracy, %") == 2
    with pytest.raises(SystemExit):
        main(["predict", str(tmp_path / "run")])
    assert "pass it as" in capsys.readouterr().err


def test_a_folder_of_graphs_on_the_command_line(tmp_path):
    from gnndiff.cli import main

    data = graph()
    folder = tmp_path / "my graphs"
    folder.mkdir()
    np.savez(folder / "graph.npz", x=data.x, y=data.y, edge_index=data.edge_index)
    graphtasks.save_splits(graphtasks.random_splits(40, count=1), folder / "splits.npz")
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items() if name != "quiet"]
    main(["run", "--task", str(folder), "--model", "mlp", "--quiet", "--out", str(tmp_path / "run"), *flags])
    out = tmp_path / "predictions.npz"
    main(["predict", str(tmp_path / "run"), "--out", str(out)])
    arrays = np.load(out)
    assert arrays["probabilities"].sum(axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    assert (arrays["classes"] == arrays["outputs"].argmax(axis=1)).all()
    assert arrays["outputs"].shape == (40, 2)
    best = Best.load(tmp_path / "run" / "best")
    assert (arrays["classes"] == data.y.numpy())[load_test(folder)].mean() == pytest.approx(best.test)


def load_test(folder):
    return graphtasks.load_splits(folder / "splits.npz")[0].test.numpy()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing.py:model", "there is no file"),
        ("{folder}/mine.py:nobody", "has no 'nobody': it has model, task"),
        ("{folder}/broken.py:model", r"does not import \(ZeroDivisionError"),
        ("{folder}/mine.py:model", None),
    ],
)
def test_references_to_files(text, message, tmp_path):
    from gnndiff.resolve import find_target

    (tmp_path / "mine.py").write_text(OWN_FILE)
    (tmp_path / "broken.py").write_text("1 / 0")
    if message is None:
        assert find_target(text.format(folder=tmp_path)).name == "model"
        return
    with pytest.raises(ConfigError, match=message):
        find_target(text.format(folder=tmp_path))


def test_exports_are_shown_and_hide_no_module():
    assert set(gnndiff.__all__) <= set(dir(gnndiff))
    assert callable(gnndiff.run)
    for name in ("runs.folder", "rows", "search", "zoo.zoo", "generators"):
        importlib.import_module(f"gnndiff.{name}")
    assert callable(gnndiff.run)
