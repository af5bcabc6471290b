import subprocess
import sys
import time


def test_import_is_quick_and_leaves_the_heavy_libraries_alone():
    start = time.perf_counter()
    code = "import gnndiff, sys; print([m for m in ('torch', 'diffusers', 'optuna') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert time.perf_counter() - start < 3


def test_stages_do_not_import_diffusers_before_they_need_it():
    code = "import gnndiff.stages, sys; print([m for m in ('diffusers', 'optuna') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_are_there():
    import gnndiff

    for name in gnndiff.__all__:
        assert getattr(gnndiff, name).__name__ == name
