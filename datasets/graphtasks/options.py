"""Options of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import arg

DESCRIPTION = """Graph learning tasks: data, splits and metric. --version prints the version.

Exit codes: 0 done, 1 a check failed, 2 bad input, 130 stopped by Ctrl-C."""


@dataclass(frozen=True)
class List:
    """List all tasks.

    Args:
        kind: Only tasks of this kind.
        markdown: Print the table of datasets/README.md.
    """

    kind: Annotated[str | None, arg(metavar="KIND")] = None
    markdown: bool = False


@dataclass(frozen=True)
class Show:
    """Show a task's statistics, metric and splits.

    Args:
        name: Name of the task.
        split: Split protocol; by default all that the task has files for.
        root: Folder of raw files; by default $GRAPHTASKS_ROOT, else the cache folder.
        json: Print one JSON object.
    """

    name: Annotated[str, tyro.conf.Positional, arg(metavar="NAME")]
    split: Annotated[str | None, arg(metavar="PROTOCOL|FILE")] = None
    root: Annotated[str | None, arg(metavar="FOLDER")] = None
    json: bool = False


@dataclass(frozen=True)
class Splits:
    """Show the splits of a task, write them into a file, or compare a file with them.

    Args:
        name: Name of the task.
        split: Split protocol, by default the task's first; or a .npz file.
        root: Folder of raw files; by default $GRAPHTASKS_ROOT, else the cache folder.
        out: Write the splits into this .npz file; one that holds anything else is never replaced.
        compare: Read this .npz file, and fail unless it holds the same splits.
    """

    name: Annotated[str, tyro.conf.Positional, arg(metavar="NAME")]
    split: Annotated[str | None, arg(metavar="PROTOCOL|FILE")] = None
    root: Annotated[str | None, arg(metavar="FOLDER")] = None
    out: Annotated[Path | None, arg(metavar="FILE")] = None
    compare: Annotated[Path | None, arg(metavar="FILE")] = None


@dataclass(frozen=True)
class Check:
    """Load every task whose raw files are in the root, and compare its statistics with the catalogue.

    Args:
        names: These tasks, whether their files are there or not.
        root: Folder of raw files; by default $GRAPHTASKS_ROOT, else the cache folder.
    """

    names: Annotated[tuple[str, ...], tyro.conf.Positional, arg(metavar="[NAME ...]")] = ()
    root: Annotated[str | None, arg(metavar="FOLDER")] = None


Command = (
    Annotated[List, tyro.conf.subcommand("list", prefix_name=False)]
    | Annotated[Show, tyro.conf.subcommand("show", prefix_name=False)]
    | Annotated[Splits, tyro.conf.subcommand("splits", prefix_name=False)]
    | Annotated[Check, tyro.conf.subcommand("check", prefix_name=False)]
)


def parse(args: list[str] | None) -> List | Show | Splits | Check:
    """The command that arguments stand for; help and wrong usage end the program."""
    return tyro.cli(Command, prog="graphtasks", description=DESCRIPTION, args=args)
