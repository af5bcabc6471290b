import subprocess
import sys


def test_import_leaves_the_heavy_libraries_alone():
    code = "import gnndiff, sys; print([m for m in ('torch', 'diffusers', 'optuna') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_stages_do_not_import_diffusers_before_they_need_it():
    code = "import gnndiff.stages, sys; print([m for m in ('diffusers', 'optuna') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_there():
    import gnndiff

    for name in gnndiff.__all__:
        assert getattr(gnndiff, name).__name__ == name
