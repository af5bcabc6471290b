"""Pages of sections with paragraphs, tables and charts, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from graphtasks.errors import InvalidDataError
from graphtasks.files import check_replaceable, write_text

MARK = '<meta name="generator" content="dmdgnn">'
"""The line by which a page is known as one of ours."""


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading.

    Args:
        title: The heading.
        parts: HTML of what is under it; sections without parts are left out.
    """

    title: str
    parts: Sequence[str]


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The HTML of a whole page, with its style and script.

    Args:
        title: The title.
        lead: The sentence under it.
        sections: Its sections.
    """
    style, script = ((files(__package__) / name).read_text("utf-8") for name in ("style.css", "sort.js"))
    body = "\n".join(
        f"<section><h2>{escape(section.title)}</h2>{''.join(section.parts)}</section>"
        for section in sections
        if section.parts
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{MARK}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<p class="lead">{escape(lead)}</p>
{body}
</main>
<script>
{script}</script>
</body>
</html>
"""


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def table(rows: Sequence[Mapping[str, Any]], *, marked: Sequence[int] = ()) -> str:
    """A table that sorts by a click on a heading; numbers, also those that a text begins with, sort as numbers.

    Args:
        rows: Rows of the same keys.
        marked: Indices of rows that stand out.
    """
    if not rows:
        return ""
    numbers = {name for name in rows[0] if all(_is_number(row[name]) for row in rows)}
    head = "".join(f'<th scope="col"><button type="button">{escape(str(name))}</button></th>' for name in rows[0])
    lines = []
    for place, row in enumerate(rows):
        cells = "".join(
            f"<td{' class=number' * (name in numbers)}>{escape(str(value))}</td>" for name, value in row.items()
        )
        lines.append(f"<tr{' class=marked' * (place in marked)}>{cells}</tr>")
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"


def check_ours(path: Path) -> None:
    """Check that a page may be written to a path.

    Raises:
        FileError: There is a file of somebody else, or the path cannot be written to.
    """
    check_replaceable(path, ours=_is_report, what="a report")


def write_page(path: Path, content: str) -> None:
    """Write a page, in the place of an earlier one of ours but of nothing else.

    Raises:
        FileError: There is a file of somebody else, or the path cannot be written to.
    """
    write_text(path, content, ours=_is_report, what="a report")


def is_page(path: Path) -> bool:
    """Whether a file is a page of ours."""
    with path.open("rb") as file:
        return MARK.encode() in file.read(1000)


def _is_report(path: Path) -> None:
    if not is_page(path):
        raise InvalidDataError(f"{path} is no report")


def _is_number(value: Any) -> bool:
    return str(value).lstrip("+-")[:1].isdigit() or value in ("", "-")
