"""Check of the prose: no sentence of a docstring, a comment or a Markdown file begins with Of, Those or What.

``python tools/prose.py [FILE ...]`` ends with 1 and file, line and sentence of each finding on standard error, if there
are any. Without a file it reads all Python and Markdown files that git tracks.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

BEGINNING = re.compile(
    r"""(?: \A | [.!?:]["')\]*_`]*\s | \n\s*\n | ^\s*(?:[-+*>|#]+|\d+\.)\s | \|\s )
        \s* [(\["*_]* (?=(?:Of|Those|What)\b)""",
    re.MULTILINE | re.VERBOSE,
)
END = re.compile(r"(?<=[.!?])\s|\n\s*\n")
CODE = re.compile(r"^( *)(```|~~~).*?^\1\2 *$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def findings(text: str) -> Iterator[tuple[int, str]]:
    """Line (from 0) and words of each sentence of ``text`` that begins with one of the words."""
    for match in BEGINNING.finditer(text):
        yield text.count("\n", 0, match.end()), " ".join(END.split(text[match.end() :], maxsplit=1)[0].split())


def python_prose(source: str) -> Iterator[tuple[int, str]]:
    """First line and text of each docstring, and of each run of comments on lines one below the other."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node, clean=False)) is not None:
            yield node.body[0].lineno, text
    start, last, lines = 0, 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last + 1 or not token.line.lstrip().startswith("#"):
            yield start, "\n".join(lines)
            start, lines = token.start[0], []
        last = token.start[0]
        lines.append(token.string.lstrip("#!: "))
    yield start, "\n".join(lines)


def check(path: Path) -> Iterator[str]:
    """One line of report for each finding in the file."""
    text = path.read_text(encoding="utf-8")
    without_code = CODE.sub(lambda match: "code" + "\n" * match.group().count("\n"), text)
    for start, prose in python_prose(text) if path.suffix == ".py" else [(1, without_code)]:
        yield from (f"{path}:{start + line}: {sentence}" for line, sentence in findings(prose))


if __name__ == "__main__":
    names = sys.argv[1:] or subprocess.check_output(["git", "ls-files", "*.py", "*.md"], text=True).splitlines()
    sys.exit("\n".join(line for name in names for line in check(Path(name))) or 0)
