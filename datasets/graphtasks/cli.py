"""`graphtasks list` and `graphtasks show NAME`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from graphtasks.errors import GraphTasksError, UnknownTaskError
from graphtasks.registry import CATALOGUE, available, load
from graphtasks.splits import combined_hash
from graphtasks.task import GraphTask


@dataclass(frozen=True)
class List:
    """List all tasks.

    Args:
        kind: Only tasks of this kind.
    """

    kind: str | None = None


@dataclass(frozen=True)
class Show:
    """Show a task's statistics, metric and splits.

    Args:
        name: Name of the task.
        split: Split protocol; by default all that the task has.
        root: Folder of raw files; by default $GRAPHTASKS_ROOT, else the cache folder.
        json: Print one JSON object.
    """

    name: tyro.conf.Positional[str]
    split: str | None = None
    root: str | None = None
    json: bool = False


Command = (
    Annotated[List, tyro.conf.subcommand("list", prefix_name=False)]
    | Annotated[Show, tyro.conf.subcommand("show", prefix_name=False)]
)


def describe(tasks: dict[str, GraphTask]) -> dict[str, Any]:
    """Statistics of a task, as `graphtasks show --json` prints them.

    Args:
        tasks: The task under each of its split protocols.
    """
    task = next(iter(tasks.values()))
    return {
        "name": task.name,
        "kind": task.kind,
        "nodes": task.num_nodes,
        "edges": task.data.num_edges,
        "features": task.num_features,
        "classes": task.num_classes,
        "metric": task.metric.name,
        "directed": task.directed,
        "source": task.source,
        "licence": task.licence,
        "protocol": task.protocol,
        "splits": [
            {"name": name, "count": len(each.splits), "hash": combined_hash(each.splits)}
            for name, each in tasks.items()
        ],
    }


def _list(kind: str | None, console: Console) -> None:
    kinds = {entry.kind for entry in CATALOGUE.values()}
    if kind is not None and kind not in kinds:
        raise UnknownTaskError(f"no task is of kind {kind!r}: use one of {', '.join(sorted(kinds))}")
    table = Table(box=None)
    for column in ("name", "kind", "metric", "splits", "source"):
        table.add_column(column, no_wrap=True, min_width=max(map(len, available())) if column == "name" else None)
    for name in available():
        entry = CATALOGUE[name]
        if kind in (None, entry.kind):
            table.add_row(name, entry.kind, entry.metric, ", ".join(entry.protocols), entry.source)
    console.print(table)


def _show(command: Show, console: Console) -> None:
    first = load(command.name, root=command.root, split=command.split)
    others = [] if command.split else CATALOGUE[first.name].protocols[1:]
    tasks = {command.split or CATALOGUE[first.name].protocols[0]: first}
    tasks |= {protocol: load(first.name, root=command.root, split=protocol) for protocol in others}
    description = describe(tasks)
    if command.json:
        print(json.dumps(description))
        return
    splits = description.pop("splits")
    table = Table(show_header=False, box=None)
    for key, value in description.items():
        table.add_row(key, str(value))
    for split in splits:
        table.add_row("split", f"{split['name']}: {split['count']}, hash {split['hash']}")
    console.print(table)


def main(args: list[str] | None = None) -> None:
    """Entry point: bad input ends in one line on stderr and exit code 2."""
    command = tyro.cli(Command, prog="graphtasks", args=args)
    # Piped lines are not cut.
    console = Console(width=None if sys.stdout.isatty() else 200)
    try:
        if isinstance(command, List):
            _list(command.kind, console)
        else:
            _show(command, console)
    except GraphTasksError as error:
        print(f"graphtasks: {error}", file=sys.stderr)
        raise SystemExit(2) from error
