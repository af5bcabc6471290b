"""The kinds of tasks: one file each, found by its name."""

from graphtasks.errors import InvalidDataError
from graphtasks.kinds.base import Form, Kind, TaskKind
from graphtasks.kinds.graph import GraphKind
from graphtasks.kinds.link import LinkKind
from graphtasks.kinds.node import NodeKind
from graphtasks.kinds.node_regression import NodeRegressionKind
from graphtasks.kinds.temporal import TemporalKind

__all__ = ["KINDS", "Form", "Kind", "TaskKind", "find"]

_BY_NAME: dict[str, TaskKind] = {
    kind.name: kind for kind in (NodeKind(), NodeRegressionKind(), LinkKind(), GraphKind(), TemporalKind())
}

KINDS: tuple[Kind, ...] = tuple(kind.name for kind in _BY_NAME.values())


def find(name: str) -> TaskKind:
    """The kind with this name.

    Raises:
        InvalidDataError: There is none.

    >>> find("link").name
    'link'
    """
    if name not in _BY_NAME:
        raise InvalidDataError(f"got kind {name!r}, expected one of {', '.join(KINDS)}")
    return _BY_NAME[name]
