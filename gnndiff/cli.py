"""`gnndiff run` and its stages one by one."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

import tyro

from gnndiff.config import RunConfig
from gnndiff.errors import GNNDiffError, RunFolderError

Stage = Literal["run", "search", "collect", "train", "generate", "compare"]


def _command(
    stage: tyro.conf.Positional[Stage],
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = RunConfig(),  # noqa: B008
) -> tuple[Stage, RunConfig]:
    """Search hyperparameters coarsely, collect checkpoints, and generate parameters from them.

    The same command on the same folder goes on where it stopped.

    Args:
        stage: run goes through all stages; the others run one.
        config: Settings.
    """
    return stage, config


def print_table(results: dict[str, Any]) -> None:
    """Print the rows of results.json."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"{results['model']} on {results['task']}, split {results['split']}, {results['metric']} in %")
    table = Table(box=None)
    for column in ("row", "validation", "test", "n", "seconds"):
        table.add_column(column, no_wrap=True, justify="left" if column == "row" else "right")
    for row in results["rows"]:
        scores = [f"{100 * row[part]['mean']:.2f} ± {100 * row[part]['std']:.2f}" for part in ("val", "test")]
        table.add_row(row["name"], *scores, str(row["test"]["n"]), f"{row['seconds']:.0f}")
    console.print(table)
    for row in results["rows"]:
        console.print(f"{row['name']}: {row['note']}", style="dim")
    stages = ", ".join(f"{stage['name']} {stage['seconds']:.0f} s" for stage in results["stages"])
    console.print(f"{stages}; {results['threads']} threads on {results['device']}")


def main(args: list[str] | None = None) -> None:
    """Entry point: bad input ends in one line on stderr and exit code 2."""
    stage, config = tyro.cli(_command, prog="gnndiff", args=args)

    import torch

    from dmdgnn import DMDGNNError
    from gnndiff.runs import Run
    from gnndiff.stages import STAGES, run_all
    from graphtasks import GraphTasksError

    try:
        run = Run(config)
        if stage in ("run", "search"):
            run.create()
        elif not run.folder.is_dir():
            raise RunFolderError(f"{run.folder} holds no run: run `gnndiff search` first")
        with run.locked():
            if stage == "run":
                print_table(run_all(run))
            elif stage == "compare":
                print_table(STAGES[stage](run))
            else:
                STAGES[stage](run)
                print(f"{stage} finished in {run.seconds()[stage]:.1f} s: {run.folder}")
    except (GNNDiffError, GraphTasksError, DMDGNNError, OSError, torch.OutOfMemoryError) as error:
        print(f"gnndiff: {str(error).splitlines()[0]}", file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt:
        print("gnndiff: stopped; the same command goes on from here", file=sys.stderr)
        raise SystemExit(130) from None
