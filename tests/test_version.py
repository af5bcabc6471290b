"""The three packages and the distribution have one version."""

from importlib.metadata import version

import dmdgnn
import gnndiff
import graphtasks


def test_one_version():
    assert graphtasks.__version__ == gnndiff.__version__ == dmdgnn.__version__ == version("dmdgnn")
