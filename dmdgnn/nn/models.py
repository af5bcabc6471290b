"""Models built from `DMDConv`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv
from torch_geometric.nn.models.basic_gnn import BasicGNN
from torch_geometric.nn.resolver import activation_resolver

from dmdgnn.errors import InputError
from dmdgnn.nn.checks import check_features, graphs_of
from dmdgnn.nn.dmd_conv import DMDConv


class GraphDMD(torch.nn.Module):
    r"""The one-layer model of the `"When Graph Neural Networks Meet Dynamic Mode Decomposition"
    <https://arxiv.org/abs/2410.05593>`_ paper: a linear map, the filter on the modes, a linear map, no activation.

    .. math::
        \mathbf{Z} = \mathrm{dropout}\big( (\mathbf{\Phi} (\mathbf{\Lambda} + \mathrm{diag}(\theta))
        \mathbf{\Phi}^{\top} \mathbf{X} \mathbf{W}_{in} + \mathbf{b}_{in}) \mathbf{W}_{out} + \mathbf{b}_{out} \big)

    With an activation, dropout is on the hidden samples, as in a perceptron, which it is where `skip` is added and the
    modes' term is zero.

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden sample.
        out_channels (int): Size of each output sample.
        rank (int): Number of modes.
        dropout (float, optional): Dropout probability, of the outputs or, given `act`, of the hidden samples.
            (default: :obj:`0.8`)
        act (str, optional): Activation of the hidden samples, by PyG's names. (default: :obj:`None`)
        **kwargs (optional): `heads`, `degree`, `skip`, `local`, `gate` of :class:`DMDConv`.

    Shapes:
        - **inputs:**
          node features :math:`(N, F_{in})`,
          modes :math:`(N, r)` and eigenvalues :math:`(1, r)`, as :class:`~dmdgnn.transforms.AddDMDModes` stores them,
          edge indices :math:`(2, E)` and edge weights :math:`(E)` *(local term only)*,
          dual modes :math:`(N, r)` *(optional)*
        - **output:** node features :math:`(N, F_{out})`

    >>> model = GraphDMD(16, 32, 3, rank=4, act="relu", skip=True)
    >>> model(torch.randn(10, 16), torch.randn(10, 4), torch.randn(1, 4)).shape
    torch.Size([10, 3])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        rank: int,
        dropout: float = 0.8,
        act: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.out_channels = out_channels
        self.rank = rank
        self.conv = DMDConv(in_channels, hidden_channels, rank, **kwargs)
        self.act = activation_resolver(act)
        self.lin = torch.nn.Linear(hidden_channels, out_channels)
        self.dropout = torch.nn.Dropout(dropout)

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.conv.reset_parameters()
        self.lin.reset_parameters()

    def forward(
        self,
        x: Tensor,
        dmd_modes: Tensor,
        dmd_eigs: Tensor,
        edge_index: Tensor | None = None,
        edge_weight: Tensor | None = None,
        dmd_duals: Tensor | None = None,
    ) -> Tensor:
        """Outputs of all nodes; see the class for shapes."""
        check_features(x, self.in_channels)
        h = self.conv(x, dmd_modes, dmd_eigs, edge_index, edge_weight, duals=dmd_duals)
        out: Tensor = self.dropout(self.lin(h)) if self.act is None else self.lin(self.dropout(self.act(h)))
        return out


class _BasicDMDConv(DMDConv):
    """A `DMDConv` behind the call that `BasicGNN` makes: `edge_attr` carries all that is about modes."""

    def forward(  # type: ignore[override]
        self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None, edge_attr: tuple[Any, ...]
    ) -> Tensor:
        modes, eigs, graphs, duals, *summary = edge_attr
        return super().forward(x, modes, eigs, edge_index, edge_weight, graphs, duals, *summary)


class DMDGNN(BasicGNN):
    r"""A deep network of :class:`DMDConv` layers on PyG's :class:`~torch_geometric.nn.models.basic_gnn.BasicGNN`,
    from which activation, normalisation, dropout and jumping knowledge come. It trains on the batches of a
    :class:`~dmdgnn.loader.ModeLoader`, too.

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden sample.
        num_layers (int): Number of layers.
        out_channels (int, optional): Size of each output sample. (default: :obj:`None`)
        dropout (float, optional): Dropout probability. (default: :obj:`0.0`)
        act, act_first, act_kwargs, norm, norm_kwargs, jk (optional): As in `BasicGNN`.
        rank (int): Number of modes.
        heads (int, optional): Filters in each layer; :obj:`1` in a layer whose output channels it does not divide.
            (default: :obj:`1`)
        degree, skip, local, gate, bias (optional): As in :class:`DMDConv`.

    Shapes:
        - **inputs:**
          node features :math:`(N, F_{in})`,
          edge indices :math:`(2, E)`, which only the local term reads,
          modes :math:`(N, r)` and eigenvalues :math:`(1, r)`, as :class:`~dmdgnn.transforms.AddDMDModes` stores them,
          or of a batch :math:`(B, r)`,
          edge weights :math:`(E)` *(optional)*,
          batch vector :math:`(N)` *(of a batch)*,
          dual modes :math:`(N, r)` *(optional)*
        - **output:** node features :math:`(N, F_{out})`

    >>> model = DMDGNN(16, 32, num_layers=2, out_channels=3, rank=4, skip=True)
    >>> edge_index = torch.tensor([[0, 1], [1, 0]])
    >>> model(torch.randn(10, 16), edge_index, torch.randn(10, 4), torch.randn(1, 4)).shape
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
            heads=heads,
            degree=degree,
            skip=skip,
            local=local,
            gate=gate,
            bias=bias,
        )
        self.act_kwargs = act_kwargs
        self.rank = rank
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

    def init_conv(self, in_channels: int, out_channels: int, heads: int = 1, **kwargs: Any) -> DMDConv:
        """One layer."""
        heads = heads if out_channels % heads == 0 else 1
        return _BasicDMDConv(in_channels, out_channels, heads=heads, **kwargs)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        dmd_modes: Tensor,
        dmd_eigs: Tensor,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        dmd_duals: Tensor | None = None,
    ) -> Tensor:
        """Outputs of all nodes; see the class for shapes."""
        check_features(x, self.in_channels)
        graphs = graphs_of(batch, dmd_eigs, x.size(-2))  # once for all layers
        edge_attr = (dmd_modes, dmd_eigs, graphs, dmd_duals)
        output: Tensor = super().forward(x, edge_index, edge_weight, edge_attr, batch)
        return output

    @torch.no_grad()
    def inference(self, loader: Iterable[Data], device: torch.device | str | None = None, attr: str = "dmd") -> Tensor:
        r"""The outputs of all nodes of one graph, layer by layer in batches: those of the whole graph at once, to
        rounding. Only the hidden states of two layers are in memory for all nodes.

        A layer needs all other nodes in one matrix only, its summary :math:`\mathbf{\Psi}^{\top} \mathbf{H}`, a sum
        over rows. The batches are passed once for that of the first layer, then once a layer, for its outputs
        and the summary of the next.

        Args:
            loader (Iterable[Data]): Batches in which each node is a seed once, iterable many times: a
                :class:`~dmdgnn.loader.ModeLoader` without context or, for a local term, a
                :class:`~torch_geometric.loader.NeighborLoader` with :obj:`num_neighbors=[-1]`. Batches do not have the
                degrees of all their nodes: apply :class:`~torch_geometric.transforms.GCNNorm` to the graph and let
                the local term be a :obj:`GCNConv` with :obj:`normalize=False`.
            device (torch.device, optional): Where to compute; hidden states and outputs are on the CPU.
                (default: :obj:`None`, on the CPU)
            attr (str, optional): First part of the names of modes, eigenvalues and dual modes in the batches.
                (default: :obj:`"dmd"`)

        Shapes:
            - **output:** node features :math:`(N, F_{out})`

        Raises:
            InputError: The model is in training mode, a part of it needs more than one layer or all nodes at once, or
                the seeds are not all nodes once.
        """
        self._check_layerwise()
        seen, summary = [], _Sum(attr)
        for batch in loader:
            _check_batch(batch, attr)
            seen.append(batch.n_id[: batch.batch_size].cpu())
            summary.add(batch, batch.x)
        order = torch.cat([torch.empty(0, dtype=torch.int64, device="cpu"), *seen])
        num_nodes = loader.data.num_nodes if hasattr(loader, "data") else len(order)
        if not len(order) or not torch.equal(order.sort().values, torch.arange(num_nodes, device="cpu")):
            raise InputError(
                f"the batches have {len(order)} seeds, {len(order.unique())} of them different, expected all nodes "
                "once, in every pass: leave out input_nodes and drop_last, and give a loader, no generator"
            )
        x: Tensor | None = None
        for layer in range(self.num_layers):
            known, summary, outputs = summary.total.to(device), _Sum(attr), None
            for batch in loader:
                nodes = batch.n_id.cpu()
                inputs = batch.x if x is None else x[nodes]
                batch = batch.clone().to(device)
                spectrum = (batch[f"{attr}_modes"], batch[f"{attr}_eigs"], None, batch.get(f"{attr}_duals"), known)
                out = self.convs[layer](inputs.to(device), batch.edge_index, batch.get("edge_weight"), spectrum)
                out = self._after(layer, out[: batch.batch_size])
                if layer + 1 < self.num_layers:
                    summary.add(batch, out)
                outputs = out.new_empty(len(order), out.size(1), device="cpu") if outputs is None else outputs
                outputs[nodes[: batch.batch_size]] = out.cpu()
            assert outputs is not None
            x = outputs
        assert x is not None
        return x

    def _check_layerwise(self) -> None:
        if self.training:
            raise InputError("the model is in training mode: call eval() first")
        if self.jk_mode not in (None, "last"):
            raise InputError(f"got jk={self.jk_mode!r}, which needs all layers at once: take None or 'last'")
        if any(isinstance(conv.local, GCNConv) and conv.local.normalize for conv in self.convs):
            raise InputError(
                "the local term needs the degrees of all nodes, batches lack them: apply GCNNorm to the graph and "
                "give local=lambda i, o: GCNConv(i, o, bias=False, normalize=False)"
            )
        for norm in self.norms if self.supports_norm_batch else ():
            if not isinstance(norm, torch.nn.Identity) and getattr(norm, "mode", None) != "node":
                raise InputError(f"got the norm {norm}, which needs all nodes at once: take BatchNorm or mode='node'")
        for norm in self.norms:
            if any(getattr(part, "track_running_stats", True) is False for part in norm.modules()):
                raise InputError(
                    f"got the norm {norm}, which takes the statistics of a batch, and batches lack nodes: train it "
                    "with track_running_stats=True"
                )

    def _after(self, layer: int, x: Tensor) -> Tensor:
        """Steps that follow a convolution in `forward`, without dropout."""
        last = layer == self.num_layers - 1
        if not last or self.jk_mode is not None:
            if self.act is not None and self.act_first:
                x = self.act(x)
            x = self.norms[layer](x)
            if self.act is not None and not self.act_first:
                x = self.act(x)
        return self.lin(x) if last and hasattr(self, "lin") else x


def _check_batch(batch: Data, attr: str) -> None:
    missing = [name for name in ("n_id", "batch_size") if name not in batch]
    if missing:
        raise InputError(f"the batches lack {' and '.join(missing)}: give a ModeLoader or a NeighborLoader")
    if f"{attr}_modes" not in batch or f"{attr}_eigs" not in batch:
        names = [key.removesuffix("_modes") for key in batch.keys() if key.endswith("_modes")]  # noqa: SIM118
        have = f"have modes as {', '.join(map(repr, names))}: pass attr={names[0]!r}" if names else "have no modes"
        raise InputError(f"the batches lack {attr}_modes or {attr}_eigs; they {have}")


class _Sum:
    """A summary, the sum of products of rows, in float64: in float32, rounding of many batches would add up."""

    def __init__(self, attr: str) -> None:
        self.attr = attr
        self.sum: Tensor | None = None
        self.dtype = torch.float64

    def add(self, batch: Data, x: Tensor) -> None:
        """Add the seeds of a batch."""
        duals = batch.get(f"{self.attr}_duals")
        readout = batch[f"{self.attr}_modes"] if duals is None else duals
        part = (readout[: batch.batch_size].mT @ x[: batch.batch_size]).double()
        self.sum = part if self.sum is None else self.sum.add_(part)
        self.dtype = x.dtype

    @property
    def total(self) -> Tensor:
        """The sum in the dtype of its parts."""
        assert self.sum is not None
        return self.sum.to(self.dtype)
