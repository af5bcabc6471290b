"""The graph convolution on the DMD modes of both directions of a directed graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.nn import GCNConv
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.inits import constant, zeros
from torch_geometric.nn.models.basic_gnn import BasicGNN

from dmdgnn.errors import InputError
from dmdgnn.kernels.ragged import Ragged
from dmdgnn.nn.checks import check_features, graphs_of, local_graph, reverse
from dmdgnn.nn.dmd_conv import DMDConv
from dmdgnn.operator import LowRankOperator


class DirDMDConv(torch.nn.Module):
    r"""The convolution of :class:`DMDConv` along the edges of a directed graph and against them, each with weights of
    its own, mixed as in the `"Edge Directionality Improves Learning on Heterophilic Graphs"
    <https://arxiv.org/abs/2305.10498>`_ paper.

    .. math::
        \mathbf{X}^{\prime} = \gamma \big( \alpha\, \mathbf{\Phi}_{\to}\, g_{\to}(\mathbf{\Lambda}_{\to})\,
        \mathbf{\Psi}_{\to}^{\top} \mathbf{X} \mathbf{W}_{\to} + (1 - \alpha)\, \mathbf{\Phi}_{\gets}\,
        g_{\gets}(\mathbf{\Lambda}_{\gets})\, \mathbf{\Psi}_{\gets}^{\top} \mathbf{X} \mathbf{W}_{\gets} \big) +
        \mathbf{X} \mathbf{W}_{\mathrm{skip}} +
        \big( \alpha\, \mathrm{local}_{\to}(\mathbf{X}) + (1 - \alpha)\, \mathrm{local}_{\gets}(\mathbf{X}) \big) +
        \mathbf{b},

    where :math:`\to` marks the modes of dynamics that go out of a node along its edges, and :math:`\gets` those of
    dynamics that come in by them:

    >>> from torch_geometric.data import Data
    >>> from torch_geometric.transforms import Compose
    >>> from dmdgnn.dynamics import FeaturePropagation
    >>> from dmdgnn.transforms import AddDMDModes
    >>> out, into = (FeaturePropagation(burn_in=2, direction=direction) for direction in ("forward", "backward"))
    >>> transform = Compose(
    ...     [
    ...         AddDMDModes(rank=3, dynamics=out, attr="dmd_out", duals=True),
    ...         AddDMDModes(rank=3, dynamics=into, attr="dmd_in", duals=True),
    ...     ]
    ... )

    Modes of directed dynamics are not orthonormal, so that only with dual modes the layer starts from the estimated
    operators, and their eigenvalues are complex; see :class:`DMDConv` for both. On a graph whose edges all have a
    reverse of the same weight, both directions are the same.

    Args:
        in_channels (int): Size of each input sample.
        out_channels (int): Size of each output sample.
        rank (int): Number of modes of each direction.
        alpha (float, optional): Share :math:`\alpha` of what goes along the edges, from :obj:`0` to :obj:`1`.
            :class:`~torch_geometric.nn.conv.DirGNNConv` gives its own :obj:`alpha` to what goes against them.
            (default: :obj:`0.5`)
        heads (int, optional): Number of filters of each direction, see :class:`DMDConv`. (default: :obj:`1`)
        degree (int, optional): Degree of polynomial filters, see :class:`DMDConv`. (default: :obj:`None`)
        skip (bool, optional): Add the linear skip term. (default: :obj:`False`)
        local (bool or callable, optional): Add the local term, which needs :obj:`edge_index`: in each direction a
            :class:`~torch_geometric.nn.conv.GCNConv`, or what the given function makes of the two numbers of channels.
            (default: :obj:`False`)
        gate (float, optional): Start of a learnable scalar :math:`\gamma` before the terms of the modes.
            (default: :obj:`None`, no gate)
        bias (bool, optional): Add the bias. (default: :obj:`True`)

    Shapes:
        - **inputs:**
          node features :math:`(N, F_{in})`,
          modes :math:`(N, r)` and eigenvalues :math:`(r)` or :math:`(1, r)` along the edges, of :math:`B` graphs
          :math:`(B, r)`,
          the same against them,
          edge indices :math:`(2, E)` and edge weights :math:`(E)` *(local term only)*,
          batch vector :math:`(N)` for several graphs, or a :class:`dmdgnn.kernels.Ragged`,
          dual modes :math:`(N, r)` along the edges, and against them *(optional)*
        - **output:** node features :math:`(N, F_{out})`

        Modes may be a :class:`~dmdgnn.LowRankOperator`, whose eigenvalues and dual modes are taken.

    Raises:
        InputError: `alpha` is no share, or modes, eigenvalues, features and rank do not fit.

    >>> conv = DirDMDConv(16, 8, rank=3)
    >>> data = transform(Data(x=torch.randn(5, 16), edge_index=torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]])))
    >>> conv(data.x, data.dmd_out_modes, data.dmd_out_eigs, data.dmd_in_modes, data.dmd_in_eigs).shape
    torch.Size([5, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        rank: int,
        alpha: float = 0.5,
        heads: int = 1,
        degree: int | None = None,
        skip: bool = False,
        local: bool | Callable[[int, int], torch.nn.Module] = False,
        gate: float | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise InputError(f"got alpha={alpha!r}, expected a number from 0 to 1: the share of what goes along edges")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.rank = rank
        self.alpha = alpha
        self.heads = heads
        self.degree = degree
        self.initial_gate = gate
        self.conv_out, self.conv_in = (
            DMDConv(in_channels, out_channels, rank, heads, degree, bias=False) for _ in range(2)
        )
        self.skip = Linear(in_channels, out_channels, bias=False, weight_initializer="glorot") if skip else None
        make = local if callable(local) else _gcn
        self.local_out, self.local_in = (make(in_channels, out_channels) if local else None for _ in range(2))
        self.gate: Parameter | None
        self.bias: Parameter | None
        self.register_parameter("gate", None if gate is None else Parameter(torch.empty(())))
        self.register_parameter("bias", Parameter(torch.empty(out_channels)) if bias else None)
        self.reset_parameters()

    @property
    def local(self) -> torch.nn.Module | None:
        """The local layer along the edges, if there is one."""
        part: torch.nn.Module | None = self.local_out
        return part

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        for part in self.children():
            part.reset_parameters()  # type: ignore[operator]
        if self.gate is not None:
            constant(self.gate, self.initial_gate)
        zeros(self.bias)

    def forward(
        self,
        x: Tensor,
        out_modes: Tensor | LowRankOperator,
        out_eigs: Tensor | None,
        in_modes: Tensor | LowRankOperator,
        in_eigs: Tensor | None,
        edge_index: Tensor | None = None,
        edge_weight: Tensor | None = None,
        batch: Tensor | Ragged | None = None,
        out_duals: Tensor | None = None,
        in_duals: Tensor | None = None,
    ) -> Tensor:
        """Convolve `x`; see the class for shapes."""
        check_features(x, self.in_channels)
        batch = graphs_of(batch, out_eigs, x.size(-2)) if isinstance(batch, Tensor) and out_eigs is not None else batch
        out: Tensor = self._mix(
            self.conv_out(x, out_modes, out_eigs, batch=batch, duals=out_duals),
            self.conv_in(x, in_modes, in_eigs, batch=batch, duals=in_duals),
        )
        if self.gate is not None:
            out = self.gate * out
        if self.skip is not None:
            out = out + self.skip(x)
        if self.local_out is not None and self.local_in is not None:
            edge_index, edge_weight = local_graph(x, edge_index, edge_weight)
            weight = () if edge_weight is None else (edge_weight,)
            local = self.local_out(x, edge_index, *weight), self.local_in(x, reverse(edge_index), *weight)
            out = out + self._mix(*local)
        if self.bias is not None:
            out = out + self.bias
        return out

    def _mix(self, along: Tensor, against: Tensor) -> Tensor:
        return self.alpha * along + (1 - self.alpha) * against

    def __repr__(self) -> str:
        size = f"{self.in_channels}, {self.out_channels}, rank={self.rank}, alpha={self.alpha}"
        return f"{self.__class__.__name__}({size})"


class _BasicDirDMDConv(DirDMDConv):
    """A `DirDMDConv` behind the call that `BasicGNN` makes: `edge_attr` carries all that is about modes."""

    def forward(  # type: ignore[override]
        self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None, edge_attr: tuple[Any, ...]
    ) -> Tensor:
        out_modes, out_eigs, in_modes, in_eigs, graphs, *duals = edge_attr
        return super().forward(x, out_modes, out_eigs, in_modes, in_eigs, edge_index, edge_weight, graphs, *duals)


class DirDMDGNN(BasicGNN):
    r"""A deep network of :class:`DirDMDConv` layers, as :class:`DMDGNN` is of :class:`DMDConv`. It trains on the
    batches of a :class:`~dmdgnn.loader.ModeLoader`, too.

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden sample.
        num_layers (int): Number of layers.
        out_channels (int, optional): Size of each output sample. (default: :obj:`None`)
        dropout (float, optional): Dropout probability. (default: :obj:`0.0`)
        act, act_first, act_kwargs, norm, norm_kwargs, jk (optional): As in `BasicGNN`.
        rank (int): Number of modes of each direction.
        alpha (float, optional): Share of what goes along the edges, see :class:`DirDMDConv`. (default: :obj:`0.5`)
        heads (int, optional): Filters in each layer; :obj:`1` in a layer whose output channels it does not divide.
            (default: :obj:`1`)
        degree, skip, local, gate, bias (optional): As in :class:`DirDMDConv`.

    Shapes:
        - **inputs:**
          node features :math:`(N, F_{in})`,
          edge indices :math:`(2, E)`, which only the local term reads,
          modes :math:`(N, r)` and eigenvalues :math:`(1, r)` of each direction, as
          :class:`~dmdgnn.transforms.AddDMDModes` stores them by :obj:`attr="dmd_out"` and :obj:`attr="dmd_in"`,
          or of a batch :math:`(B, r)`,
          edge weights :math:`(E)` *(optional)*,
          batch vector :math:`(N)` *(of a batch)*,
          dual modes :math:`(N, r)` of each direction *(optional)*
        - **output:** node features :math:`(N, F_{out})`

    >>> model = DirDMDGNN(16, 32, num_layers=2, out_channels=3, rank=4, skip=True)
    >>> edge_index = torch.tensor([[0, 1], [1, 2]])
    >>> spectra = torch.randn(10, 4), torch.randn(1, 4), torch.randn(10, 4), torch.randn(1, 4)
    >>> model(torch.randn(10, 16), edge_index, *spectra).shape
    torch.Size([10, 3])
    """

    supports_edge_weight = True
    supports_edge_attr = True

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        out_channels: int | None = None,
        dropout: float = 0.0,
        act: str | Callable[..., Any] | None = "relu",
        act_first: bool = False,
        act_kwargs: dict[str, Any] | None = None,
        norm: str | Callable[..., Any] | None = None,
        norm_kwargs: dict[str, Any] | None = None,
        jk: str | None = None,
        *,
        rank: int,
        alpha: float = 0.5,
        heads: int = 1,
        degree: int | None = None,
        skip: bool = False,
        local: bool | Callable[[int, int], torch.nn.Module] = False,
        gate: float | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__(
            in_channels,
            hidden_channels,
            num_layers,
            out_channels,
            dropout,
            act,
            act_first,
            act_kwargs,
            norm,
            norm_kwargs,
            jk,
            rank=rank,
            alpha=alpha,
            heads=heads,
            degree=degree,
            skip=skip,
            local=local,
            gate=gate,
            bias=bias,
        )
        self.act_kwargs = act_kwargs
        self.rank = rank
        self.alpha = alpha
        self.heads = heads
        self.degree = degree
        self.skip = skip
        self.gate = gate
        self.bias = bias

    @property
    def local(self) -> torch.nn.Module | None:
        """The local layer of the first convolution, if there is one."""
        part: torch.nn.Module | None = self.convs[0].local
        return part

    def init_conv(self, in_channels: int, out_channels: int, heads: int = 1, **kwargs: Any) -> DirDMDConv:
        """One layer."""
        heads = heads if out_channels % heads == 0 else 1
        return _BasicDirDMDConv(in_channels, out_channels, heads=heads, **kwargs)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        dmd_out_modes: Tensor,
        dmd_out_eigs: Tensor,
        dmd_in_modes: Tensor,
        dmd_in_eigs: Tensor,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        dmd_out_duals: Tensor | None = None,
        dmd_in_duals: Tensor | None = None,
    ) -> Tensor:
        """Outputs of all nodes; see the class for shapes."""
        check_features(x, self.in_channels)
        graphs = graphs_of(batch, dmd_out_eigs, x.size(-2))  # once for all layers
        spectra = dmd_out_modes, dmd_out_eigs, dmd_in_modes, dmd_in_eigs
        edge_attr = (*spectra, graphs, dmd_out_duals, dmd_in_duals)
        output: Tensor = super().forward(x, edge_index, edge_weight, edge_attr, batch)
        return output

    def inference(self, loader: Any, device: torch.device | str | None = None, **kwargs: Any) -> Tensor:
        """Not there: layers need the hidden states of all nodes.

        Raises:
            InputError: Always.
        """
        raise InputError("a directed model has no inference in batches: call it on the whole graph")


def _gcn(in_channels: int, out_channels: int) -> GCNConv:
    return GCNConv(in_channels, out_channels, bias=False)
