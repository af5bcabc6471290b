"""Checksums of published raw files."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path

from graphtasks.errors import InvalidDataError

KNOWN = {
    name: digest
    for digest, name in map(str.split, files("graphtasks.sources").joinpath("SHA256SUMS").read_text().splitlines())
}


def check_file(file: Path, name: str) -> None:
    """Raise `InvalidDataError` where a raw file of a known name has another SHA-256 than the published one.

    Two files of one format may be exchanged without any other sign, and some damage crashes the reader.

    Args:
        file: The file.
        name: Its path below the root of raw files, as in `SHA256SUMS`, which `sha256sum -c` reads there. A file
            that is not listed is not checked.
    """
    expected = KNOWN.get(name)
    if expected is None:
        return
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != expected:
        raise InvalidDataError(
            f"{file} is not {name} as published (SHA-256 {digest[:12]}..., expected {expected[:12]}...): it is "
            "damaged or another file, replace it"
        )
