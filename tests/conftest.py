import os
import signal

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """The tests' graphs are small: more threads only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _interrupts():
    """Ctrl-C stops programs, also where a shell started the tests in the background, which ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _seed():
    """A test draws the same by itself and after others."""
    torch.manual_seed(0)


@pytest.fixture
def real_data():
    """Folder of the raw files of public datasets."""
    if not os.environ.get("GRAPHTASKS_ROOT"):
        pytest.skip("GRAPHTASKS_ROOT is not set")
    return os.environ["GRAPHTASKS_ROOT"]
