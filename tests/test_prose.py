"""The check of the prose finds the words at the beginning of a sentence, and nowhere else."""

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = str(Path(__file__).parents[1] / "tools" / "prose.py")

FOUND = {
    "docstring.py": ('def f():\n    """What it is.\n    """\n', "2", "What it is."),
    "argument.py": ('"""A map.\n\nArgs:\n    rank: Of the map, (r,).\n"""\n', "4", "Of the map, (r,)."),
    "second.py": ('"""A map. It has rows. Those\nare long. Done."""\n', "1", "Those are long."),
    "comment.py": ("x = 1\n\n# A list.\n# What follows\n# is short.\n", "4", "What follows is short."),
    "trailing.py": ("# A number,\nx = 1  # Of the list.\n", "2", "Of the list."),
    "text.md": ("```\nWhat\n```\n\nA page. Of\nit all.\n", "5", "Of it all."),
    "list.md": ("A list\n\n- **Those** of it\n", "3", "Those** of it"),
    "heading.md": ("## What it is\n\nA page.\n", "1", "What it is"),
    "cell.md": ("| a | Of b |\n", "1", "Of b |"),
}
FREE = {
    "code.py": 'raise ValueError("What is this? Of course.")\nOf = "Those"  # a name\n',
    "inside.py": '"""A map of rows: those of a graph, and what follows (Offset, Whatever)."""\n',
    "apart.py": "x = 1  # A list\ny = 2\n\n# in words of What is said\n",
    "code.md": "A page.\n\n```python\n# What\n```\n\n`a`. Here `. What` is code.\n",
}


def run(path, text, monkeypatch):
    path.write_text(text)
    monkeypatch.setattr(sys, "argv", ["prose.py", str(path)])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(SCRIPT, run_name="__main__")
    return stop.value.code


@pytest.mark.parametrize("name", FOUND)
def test_sentences_are_named_with_file_and_line(name, tmp_path, monkeypatch):
    text, line, sentence = FOUND[name]
    assert run(tmp_path / name, text, monkeypatch) == f"{tmp_path / name}:{line}: {sentence}"


@pytest.mark.parametrize("name", FREE)
def test_other_words_are_free(name, tmp_path, monkeypatch):
    assert run(tmp_path / name, FREE[name], monkeypatch) == 0
