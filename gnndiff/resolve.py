"""Tasks and models as the command line names them: a name, a folder, or something in a Python file of the user's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import graphtasks
from gnndiff.errors import ConfigError, GNNDiffError
from gnndiff.targets import Target, as_target, find
from graphtasks import GraphTask, GraphTasksError


def find_target(text: str) -> Target:
    """The target with a name, or the one that `FILE.py:NAME` names: a `Target`, or a function with a `space`.

    Raises:
        ConfigError: There is none.
    """
    if not is_reference(text):
        return find(text)
    value = load_object(text)
    return as_target(value, getattr(value, "space", None) if not isinstance(value, type) else None)


def find_task(text: str, *, root: Path | None = None) -> GraphTask:
    """The task with a name, the one in a folder of .npz files, or what `FILE.py:FUNCTION` makes.

    Raises:
        ConfigError: The file has no such function, or it makes no task.
    """
    if is_reference(text):
        value = load_object(text)
        task = _made(text, value) if callable(value) else value
        if not isinstance(task, GraphTask):
            raise ConfigError(
                f"{text} gives a {type(task).__name__}, expected a GraphTask or a function that makes one"
            )
        return task
    if Path(text).is_dir():
        return graphtasks.from_folder(text)
    return graphtasks.load(text.lower(), root=root)


def canonical(text: str) -> str:
    """A task or a model as it is stored: names in small letters, paths as they are."""
    return text if is_reference(text) or Path(text).is_dir() else text.lower()


def is_reference(text: str) -> bool:
    """Whether a text is of the form `FILE.py:NAME`."""
    return text.rpartition(":")[0].endswith(".py")


def load_object(text: str) -> Any:
    """The object that `FILE.py:NAME` names, after the file was run.

    Raises:
        ConfigError: There is no such file or name, or the file raises an error.
    """
    file, _, name = text.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"there is no file {file}: give FILE.py:NAME with the path of yours")
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{file} cannot be imported: give a Python file")
    module = module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's file raises
        raise ConfigError(f"{file} does not import ({_reason(error)}): mend it first") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    if not hasattr(module, name):
        raise ConfigError(f"{file} has no {name!r}: it has {', '.join(_names(module)) or 'nothing'}")
    return getattr(module, name)


def _made(text: str, function: Callable[[], Any]) -> Any:
    """The value of a function in a user's file."""
    try:
        return function()
    except (GNNDiffError, GraphTasksError):
        raise
    except (Exception, SystemExit) as error:  # whatever it raises
        raise ConfigError(f"{text} ends in an error ({_reason(error)}): mend it first") from error


def _reason(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {(str(error) or '-').splitlines()[0]}"


def _names(module: Any) -> list[str]:
    return [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
