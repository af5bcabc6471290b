"""The command line: a run and its stages one by one, its table, and predictions of its best network."""

from __future__ import annotations

import sys
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional
from tyro.extras import SubcommandApp

from gnndiff.benchmark.config import BenchConfig
from gnndiff.config import RunConfig
from gnndiff.errors import RunFolderError

app = SubcommandApp()

Config = Annotated[RunConfig, tyro.conf.arg(name="")]
Bench = Annotated[BenchConfig, tyro.conf.arg(name="")]


@app.command
def run(config: Config = RunConfig()) -> None:  # noqa: B008 - frozen
    """Search, collect checkpoints, train a generator, generate networks and compare them: all stages in one folder.

    The same command on the same folder goes on where it stopped.
    """
    from gnndiff.report.html import keep_report
    from gnndiff.report.table import print_results
    from gnndiff.stages import run_all

    opened = _open(config, create=True)
    with opened.locked():
        print_results(run_all(opened))
        print(f"report: {keep_report(opened)}", file=sys.stderr)


@app.command
def search(config: Config = RunConfig()) -> None:  # noqa: B008 - frozen
    """First stage of a run: search hyperparameters coarsely."""
    _stage("search", config)


@app.command
def collect(config: Config = RunConfig()) -> None:  # noqa: B008 - frozen
    """Second stage of a run: train the best settings several times and keep checkpoints."""
    _stage("collect", config)


@app.command
def train(config: Config = RunConfig()) -> None:  # noqa: B008 - frozen
    """Third stage of a run: train the generator on the checkpoints."""
    _stage("train", config)


@app.command
def generate(config: Config = RunConfig()) -> None:  # noqa: B008 - frozen
    """Fourth stage of a run: draw networks from the generator and score them by validation."""
    _stage("generate", config)


@app.command
def compare(
    runs: Positional[tuple[Path, ...]] = (),
    splits: int | None = None,
    seeds: int | None = None,
    config: Config = RunConfig(),  # noqa: B008 - frozen
) -> None:
    """Last stage of a run: score all rows of the table and keep the best network. Or a table over several runs.

    With run folders, the table is over them and over the same runs on other splits and with other seeds, which are run
    where they are missing; of all other flags only --root, --quiet and --model FILE.py:NAME count then.

    Args:
        runs: Run folders.
        splits: Number of splits that the runs are compared over.
        seeds: Number of seeds that they are compared over.
        config: Settings of the run.
    """
    from gnndiff.report.table import print_results

    if runs or splits is not None or seeds is not None:
        from gnndiff.across import compare_runs
        from gnndiff.resolve import find_target, is_reference

        target = find_target(config.model) if is_reference(config.model) else None
        found = compare_runs(runs, splits=splits, seeds=seeds, target=target, root=config.root, quiet=config.quiet)
        print(found.to_markdown())
        return
    print_results(_stage("compare", config))


@app.command
def show(folder: Positional[Path], json: bool = False) -> None:
    """Print the table of a finished run.

    Args:
        folder: The run folder. It is only read.
        json: Print results.json instead, for programs.
    """
    from gnndiff.family.data import holds_family
    from gnndiff.family.rows import FamilyResults
    from gnndiff.report.table import print_results
    from gnndiff.runs.record import read_results

    if holds_family(folder):
        found = FamilyResults.load(folder)
        print(dumps(found.as_json()) if json else found.to_markdown())
        return
    results = read_results(folder)
    if json:
        print(dumps(results))
    else:
        print_results(results)


@app.command
def runs(folder: Positional[Path] = Path("runs"), json: bool = False) -> None:
    """List the runs in a folder: how far each got, and what it delivers.

    Args:
        folder: The folder that holds run folders. It is only read.
        json: Print a JSON array instead, for programs.
    """
    from gnndiff.report.runs import list_runs
    from gnndiff.report.table import print_runs

    found = list_runs(folder)
    if json:
        print(dumps(found))
    else:
        print_runs(found)


@app.command
def report(
    folder: Positional[Path], out: Path | None = None, model: str | None = None, root: Path | None = None
) -> None:
    """Write the report of a finished run, one HTML file that needs no network.

    Args:
        folder: The run folder.
        out: The file to write; by default report.html in the run folder.
        model: FILE.py:NAME of the run's target, where it was one of your own.
        root: Folder of raw data files.
    """
    from gnndiff.report.html import write_report
    from gnndiff.resolve import find_target
    from gnndiff.runs.folder import Run

    opened = Run.load(folder, target=None if model is None else find_target(model), root=root)
    print(write_report(opened, out))


@app.command
def zoo(folder: Positional[Path], model: str | None = None, root: Path | None = None) -> None:
    """Print how the checkpoints of a run lie to each other, and what this means for soups and generators.

    Args:
        folder: The run folder. It is only read.
        model: FILE.py:NAME of the run's target, where it was one of your own.
        root: Folder of raw data files.
    """
    from gnndiff.resolve import find_target
    from gnndiff.runs.collect import read_zoo
    from gnndiff.runs.folder import Run

    opened = Run.load(folder, target=None if model is None else find_target(model), root=root)
    with opened.threaded():
        found = read_zoo(opened)
        print(
            f"{found!r}, {found.alignment}\n{found.geometry()}\n{found.geometry().meaning(opened.method.least_spread)}"
        )


@app.command
def family(
    family: Positional[str],
    model: str = "gprgnn",
    condition: str = "dmd-spectrum",
    budget: str = "coarse",
    seed: int = 0,
    out: Path | None = None,
    quiet: bool = False,
) -> None:
    """Learn to generate parameters for graphs never seen, from the graphs of a family, and print the rows.

    Args:
        family: Name of the family, such as csbm-family, or a folder of folders of .npz files, a task each.
        model: Name of a target, or FILE.py:NAME of your own.
        condition: dmd-spectrum, graph-encoder, given, or a sum such as dmd-spectrum+given.
        budget: smoke, coarse or full.
        seed: Seed of everything random.
        out: Run folder; by default runs/FAMILY-MODEL-CONDITION-seedSEED.
        quiet: Plain lines instead of progress bars.
    """
    import graphtasks
    from gnndiff.family import run_family
    from gnndiff.resolve import find_target, is_reference

    members = graphtasks.Family.from_folder(family, seed=seed) if Path(family).is_dir() else family
    target = find_target(model) if is_reference(model) else model
    results = run_family(target, members, condition=condition, budget=budget, seed=seed, out=out, quiet=quiet)
    print(results.to_markdown())
    print(f"{results.folder}: {results.facts['default']} is the default", file=sys.stderr)


@app.command
def predict(
    folder: Positional[Path],
    task: str | None = None,
    out: Path = Path("predictions.npz"),
    model: str | None = None,
    root: Path | None = None,
    data: Path | None = None,
) -> None:
    """Write predictions of a run's best network, or of networks that a run over a family generates for a graph.

    Args:
        folder: The run folder.
        task: Another task than the run's, of the same form: a name, a folder of .npz files, or FILE.py:FUNCTION.
        out: The .npz file to write.
        model: FILE.py:NAME of the run's target, where it was one of your own.
        root: Folder of raw data files.
        data: The .npz file of a graph with x and edge_index, for a run over a family.
    """
    from gnndiff.family.data import holds_family, predict_graph, read_unlabelled
    from gnndiff.predict import predict_run, save_predictions
    from gnndiff.resolve import find_target, find_task
    from gnndiff.runs.folder import Run

    if holds_family(folder) != (data is not None):
        what = "a family, which takes --data FILE" if data is None else "no family, which takes no --data"
        raise RunFolderError(f"{folder} is a run over {what}")
    if data is not None:
        arrays = predict_graph(folder, read_unlabelled(data))
        save_predictions(out, arrays)
        print(f"{out}: {', '.join(f'{name} {array.shape}' for name, array in arrays.items())}")
        return
    given = None if task is None else find_task(task, root=root)
    opened = Run.load(folder, target=None if model is None else find_target(model), root=root)
    arrays = predict_run(opened, given)
    save_predictions(out, arrays)
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    print(f"{out}: {shapes}")


@app.command
def bench(config: Bench) -> None:
    """Compare models on tasks, each tuned with the same effort: a table of test scores with paired intervals.

    The same command with the same --out goes on where it stopped; one with more tasks or models adds to the table.
    """
    from gnndiff.benchmark.bench import bench as run_bench

    print(run_bench(**config.arguments).to_markdown())


@app.command
def targets(kind: str | None = None) -> None:
    """List the targets.

    Args:
        kind: Kind of task, such as node or link, whose targets alone are listed.
    """
    from gnndiff.targets import available, find

    for name in available():
        target = find(name)
        if kind is None or kind in target.kinds:
            print(f"{name:<12} {', '.join(sorted(target.kinds))}")


def _open(config: RunConfig, *, create: bool) -> Any:
    from gnndiff.runs.folder import Run

    opened = Run(config)
    if create:
        opened.create()
    elif not opened.folder.is_dir():
        raise RunFolderError(f"{opened.folder} holds no run: run `gnndiff search` first")
    return opened


def _stage(name: str, config: RunConfig) -> Any:
    from gnndiff.stages import run_stage

    opened = _open(config, create=name == "search")
    with opened.locked():
        result = run_stage(opened, name)
    print(f"{name} finished in {opened.seconds()[name]:.1f} s: {opened.folder}", file=sys.stderr)
    return result
