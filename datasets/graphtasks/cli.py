"""The program `graphtasks`, whose imports take seconds in which it answers to Ctrl-C."""

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
        _end("stopped", 130)
    except BrokenPipeError:  # the reader, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:
        _end(_reason(error), 2, error)


def _run(args: list[str]) -> None:
    if args == ["--version"]:
        print(f"graphtasks {_version()}")
        return
    from graphtasks.options import parse

    command = parse(args)

    from graphtasks.commands import run

    run(command)


def _version() -> str:
    """Version of the distribution."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dmdgnn")
    except PackageNotFoundError:
        return "that is not installed"


def _reason(error: Exception) -> str:
    """One line for errors that are not the program's own; others are faults of it, and keep their traceback."""
    from graphtasks.errors import GraphTasksError

    if isinstance(error, GraphTasksError | OSError):
        return str(error)
    if isinstance(error, MemoryError) or "allocate" in str(error):  # torch's own is a RuntimeError
        return "there is not enough memory: close other programs, or use a smaller task"
    raise error


def _end(message: str, code: int, cause: BaseException | None = None) -> None:
    print(f"graphtasks: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(code) from cause


if __name__ == "__main__":
    main()
