import subprocess
import sys

import pytest

CODE = """
import sys

import torch
from torch_geometric.data import Data

class Blocked:
    names = {"graphtasks", "gnndiff", "ogb", "diffusers", "optuna", "sklearn", "safetensors", "rich", "tyro"}
    names -= set(sys.modules)  # what torch and PyG import themselves is theirs

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ImportError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocked())

import dmdgnn

print({"dmdgnn.nn", "dmdgnn.plot"} & set(sys.modules))
data = Data(x=torch.eye(3), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
data = dmdgnn.transforms.AddDMDModes(rank=2)(data)
print(dmdgnn.nn.DMDConv(3, 5, rank=2)(data.x, data.dmd_modes, data.dmd_eigs).shape)
"""


def test_needs_torch_and_pyg_only_and_imports_its_parts_later():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["set()", "torch.Size([3, 5])"]


SUBMODULES = ("dynamics", "kernels", "loader", "nn", "plot", "series", "testing", "transforms")


def test_parts_are_attributes():
    import dmdgnn

    assert set(SUBMODULES) <= set(dir(dmdgnn))
    assert all(getattr(dmdgnn, name).__name__ == f"dmdgnn.{name}" for name in SUBMODULES)
    with pytest.raises(AttributeError, match="module 'dmdgnn' has no attribute 'nothing'"):
        dmdgnn.nothing  # noqa: B018


def test_exports():
    import dmdgnn

    assert all(hasattr(dmdgnn, name) for name in dmdgnn.__all__)
    for error in (dmdgnn.InputError, dmdgnn.RankError):
        assert issubclass(error, dmdgnn.DMDGNNError)
        assert issubclass(error, ValueError)
    assert issubclass(dmdgnn.FactorizationError, (dmdgnn.DMDGNNError, ArithmeticError))
