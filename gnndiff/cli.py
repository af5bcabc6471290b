"""The program `gnndiff`, whose imports take seconds in which it answers to Ctrl-C."""

from __future__ import annotations

import os
import sys


def main(args: list[str] | None = None) -> None:
    """Entry point: errors end in one line on stderr, with exit code 2, or 130 after Ctrl-C."""
    try:
        if hasattr(sys.stdout, "reconfigure"):  # names that the terminal's encoding lacks
            sys.stdout.reconfigure(errors="backslashreplace")
        _run(sys.argv[1:] if args is None else args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        _end("stopped; the same command goes on from here", 130)
    except BrokenPipeError:  # the reader, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:
        _end(_reason(error), 2, error)


def _run(args: list[str]) -> None:
    if args == ["--version"]:
        from importlib.metadata import version

        print(f"gnndiff {version('dmdgnn')}")
        return
    from gnndiff import commands

    commands.app.cli(prog="gnndiff", description=commands.__doc__, args=args)


def _reason(error: Exception) -> str:
    """One line for errors that are not the program's own; others are faults of it, and keep their traceback."""
    from torch import OutOfMemoryError

    from dmdgnn import DMDGNNError
    from gnndiff.errors import GNNDiffError
    from graphtasks import GraphTasksError

    if isinstance(error, GNNDiffError | GraphTasksError | DMDGNNError | OSError):
        return str(error)
    if isinstance(error, OutOfMemoryError):
        return str(error).splitlines()[0]
    if isinstance(error, MemoryError) or "allocate" in str(error):  # on the CPU torch raises a RuntimeError
        return "there is not enough memory: close other programs, or use a smaller task or model"
    raise error


def _end(message: str, code: int, cause: BaseException | None = None) -> None:
    print(f"gnndiff: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code) from cause
