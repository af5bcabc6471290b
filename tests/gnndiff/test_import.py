import subprocess
import sys

CODE = """
import sys
import gnndiff
print([name for name in ("torch", "diffusers", "optuna") if name in sys.modules])
import gnndiff.stages
print([name for name in ("diffusers", "optuna") if name in sys.modules])
"""


def test_neither_the_package_nor_its_stages_import_what_they_do_not_need_yet():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["[]", "[]", ""]


def test_public_names_are_there():
    import gnndiff

    for name in gnndiff.__all__:
        assert getattr(gnndiff, name).__name__ == name
