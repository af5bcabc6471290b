"""Arguments of layers and models: one order, and readable afterwards."""

import inspect
import pickle

import pytest
import torch
from torch_geometric.nn import GCNConv, SGConv
from torch_geometric.nn.models.basic_gnn import BasicGNN

from dmdgnn import nn
from dmdgnn.loader import ModeLoader
from dmdgnn.series import AddSeriesModes
from dmdgnn.transforms import AddDMDModes

BASIC = list(inspect.signature(BasicGNN.__init__).parameters)
# Arguments that each class needs.
LEAST = {
    "in_channels": 4,
    "hidden_channels": 6,
    "num_layers": 2,
    "out_channels": 3,
    "channels": 4,
    "conv": None,
    "rank": 2,
    "degree": 2,
}


def parameters(kind):
    return {name: p for name, p in inspect.signature(kind.__init__).parameters.items() if name != "self"}


@pytest.mark.parametrize("name", nn.__all__)
def test_arguments_are_attributes(name):
    kind = getattr(nn, name)
    needed = {key: LEAST[key] for key, p in parameters(kind).items() if p.default is p.empty and key in LEAST}
    built = kind(**needed)
    for key, p in parameters(kind).items():
        if p.kind is not p.VAR_KEYWORD and key != "jk":  # PyG has `jk_mode`, and the module as `jk`
            assert hasattr(built, key), key
    assert all(getattr(built, key) == value for key, value in needed.items())


@pytest.mark.parametrize("name", nn.__all__)
def test_the_order_is_that_of_basic_gnn(name):
    own = list(parameters(getattr(nn, name)))
    shared = [key for key in own if key in BASIC]
    if "num_layers" in shared and parameters(getattr(nn, name))["num_layers"].default is not inspect.Parameter.empty:
        shared.remove("num_layers")  # an option of the models whose channels come first
    assert shared == sorted(shared, key=BASIC.index)


@pytest.mark.parametrize("name", ["DMDGNN", "DirDMDGNN", "DMDGPS"])
def test_models_of_layers_are_called_as_basic_gnn(name):
    kind = getattr(nn, name)
    assert list(parameters(kind))[:5] == BASIC[1:6]
    assert parameters(kind)["rank"].kind is inspect.Parameter.KEYWORD_ONLY
    with pytest.raises(TypeError, match="rank"):
        kind(4, 6, 2, 3)
    with pytest.raises(TypeError, match="unexpected keyword"):
        kind(4, 6, 2, 3, rank=2, ranks=3)
    assert kind(4, 6, 2, rank=2).out_channels == 6


@pytest.mark.parametrize(
    "name", ["DMDConv", "DirDMDConv", "DMDGNN", "DirDMDGNN", "DMDGPS", "DMDEncoder", "DecoupledDMD"]
)
def test_the_local_layer_is_read_where_it_is(name):
    kind = getattr(nn, name)
    sizes = {key: LEAST[key] for key in parameters(kind) if key.endswith("channels") or key in ("num_layers", "rank")}
    sizes["out_channels"] = 4
    built = kind(**sizes, local=lambda i, o: GCNConv(i, o) if i != o else SGConv(i, o))
    assert isinstance(built.local, GCNConv | SGConv)
    pickle.dumps(built)  # no function that made it is kept


def test_settings_of_transforms_are_attributes():
    transforms = [
        AddDMDModes(rank=3, modes="exact", duals=True),
        AddDMDModes(energy=0.9, attr="other", blocks=True),
        AddSeriesModes(torch.randn(4, 9), rank=2, stride=2),
    ]
    for transform in transforms:
        assert all(hasattr(transform, key) for key in parameters(type(transform)) if key != "states")
    assert (transforms[0].rank, transforms[1].energy, transforms[1].rank, transforms[2].stride) == (3, 0.9, None, 2)
    assert set(parameters(ModeLoader)) - {"kwargs"} == {"data", "input_nodes", "context", "neighbors"}
