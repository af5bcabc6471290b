"""Dynamic Mode Decomposition."""

from __future__ import annotations

import copy
import math
from typing import Literal, NoReturn, TypeGuard, cast

import torch
from torch import Tensor

from dmdgnn.constraints import STATE_CONSTRAINTS, StateConstraint, fit_constrained
from dmdgnn.errors import InputError, NotFittedError, RankError
from dmdgnn.factors import Factorisation
from dmdgnn.kernels.moments import Moments, check_pair
from dmdgnn.kernels.ragged import Ragged
from dmdgnn.kernels.robust import check_finite, robust
from dmdgnn.kernels.rows import apply
from dmdgnn.kernels.sparse import column, csr, is_sparse
from dmdgnn.kernels.thin_svd import Method, check_matrix, check_method
from dmdgnn.kernels.truncation import Rank, Truncation
from dmdgnn.operator import LowRankOperator
from dmdgnn.reduced import SUBSPACE_CONSTRAINTS, Encoder, Reduced, SubspaceConstraint

Constraint = SubspaceConstraint | StateConstraint
ModeType = Literal["exact", "projected"]
# Entries of a padded block of small graphs: with its float64 copies, it stays in the cache of a processor.
RAGGED_ENTRIES = 2**21


class DMD:
    r"""Low-rank linear operator that best maps each snapshot to the one a step later.

    With :math:`X \approx U S V^T` cut to rank r, the reduced operator, its eigendecomposition and the modes are

    .. math::
        \tilde K = U^T Y V S^{-1} = W \Lambda W^{-1}, \qquad
        \Phi = U W \text{ (projected)} \quad\text{or}\quad \Phi = Y V S^{-1} W \text{ (exact)}.

    Sources: Tu et al., "On Dynamic Mode Decomposition: Theory and Applications" (https://arxiv.org/abs/1312.0041) and,
    by option, below.

    Args:
        rank: Rank r, or 'optimal' for Gavish and Donoho's threshold, see :class:`dmdgnn.kernels.Truncation`; by
            default the numerical rank of X.
        energy: Instead of `rank`, the share in (0, 1] of the squared singular values to keep at least.
        svd: Kernel: 'auto', 'gram', 'randomized' or 'full', see :func:`dmdgnn.kernels.thin_svd`.
        modes: 'exact' or 'projected'.
        constraint: None, or what the operator is to be (Baddoo et al., https://arxiv.org/abs/2112.04307).

            - 'symmetric', 'skew_symmetric', 'orthogonal': the one on the range of U that fits best. Of symmetric
              operators eigenvalues and modes are real; for symmetric linear dynamics it is the unconstrained operator.
            - 'diagonal', 'circulant': the one on all N states, in the order of the rows, that fits best, cut to the r
              modes that capture most of Y. A conjugate pair is not split, so a circulant one may be of rank r - 1.
            - 'lower_triangular' (causal), 'upper_triangular': the same, N x N and of full rank, which needs N
              independent snapshots or `ridge`. The modes are exact and projected ones at once.
        ridge: Penalty :math:`\lambda \ge 0` in the least squares problem
            :math:`\|K X - Y\|_F^2 + \lambda \|K\|_F^2`, in units of squared entries of X.
        forward_backward: Take the mean of forward and inverse backward dynamics, which removes the bias of noise
            (Dawson et al., https://arxiv.org/abs/1507.02264). Their :math:`(K_f K_b^{-1})^{1/2}` leaves open which
            root, above all for eigenvalues that cancel, as those of bipartite graphs do. With
            :math:`M = (K_f + K_b^{-1}) / 2` and :math:`E = (K_f - K_b^{-1}) / 2`, here it is
            :math:`K = M - M^{-1} E^2 / 2`, of the same eigenvalues to second order in E.
        total_least_squares: First project the columns of both snapshots on the r leading right singular vectors of
            :math:`[X; Y]`, which removes the bias of noise, too (Hemati et al., https://arxiv.org/abs/1502.03854).
        delays: Number d of consecutive states of a series that make up one snapshot (Hankel DMD): state t becomes
            the rows :math:`[x_t; x_{t+1}; \dots; x_{t+d-1}]`.
        seed: Of the randomized kernel. Its gradients are as exact as the subspace that it finds.

    Attributes:
        singular_values: S (*batch, r), float64, descending; under a constraint on all states, the norms of what each
            mode captures of Y, of all modes of X for triangular ones.
        reduced_operator: :math:`\tilde K` (*batch, r, r), float64.
        eigs: Eigenvalues (*batch, r) by descending modulus; real for symmetric operators, else complex with conjugate
            pairs side by side, the positive imaginary part first.
        operator: The :class:`LowRankOperator` :math:`U \tilde K U^T`, or :math:`Y V S^{-1} U^T` for exact modes
            without other options.
        B: With `control`, the map from inputs to states (N, q).

    The names that PyDMD's users know: `modes, eigs, amplitudes, dynamics, reconstructed_data, frequency, growth_rate,
    predict, forecast`.

    **Gradients** flow from the operator, :attr:`reduced_operator` and :meth:`predict` to X and Y where these require
    them. They do not depend on the signs, order or rotation of singular vectors and are finite for repeated and zero
    singular values, as long as :math:`\sigma_r > \sigma_{r+1}`; elsewhere the operator has no derivative, and the part
    of the gradient that it would need is left out. Those of `eigs` and `modes` are those of :func:`torch.linalg.eig`.

    >>> A = torch.tensor([[0.9, 0.2], [0.0, 0.5]], dtype=torch.float64)
    >>> X = torch.eye(2, dtype=torch.float64)
    >>> DMD(rank=2).fit(X, A @ X).eigs.real
    tensor([0.9000, 0.5000], dtype=torch.float64)
    """

    # What `fit` sets, and forgets before the next.
    singular_values: Tensor
    reduced_operator: Tensor
    eigs: Tensor
    operator: LowRankOperator
    B: Tensor | None
    # Rows of U and of the exact modes before W, and W itself.
    _U: Tensor
    _forward: Tensor | None
    _W: Tensor
    _modes: Tensor | None
    _ragged: Ragged | None
    _dtype: torch.dtype
    _encoder: Encoder | None
    _reduced: Reduced | None
    _controls: Tensor | None
    _first: Tensor
    _last: Tensor
    _steps: int

    def __init__(
        self,
        rank: Rank = None,
        energy: float | None = None,
        svd: Method = "auto",
        modes: ModeType = "exact",
        constraint: Constraint | None = None,
        *,
        ridge: float = 0.0,
        forward_backward: bool = False,
        total_least_squares: bool = False,
        delays: int = 1,
        seed: int = 0,
    ) -> None:
        self.truncation = Truncation(rank, energy)
        check_method(svd)
        if modes not in ("exact", "projected"):
            raise InputError(f"got modes={modes!r}, expected 'exact' or 'projected'")
        names = (*SUBSPACE_CONSTRAINTS, *STATE_CONSTRAINTS)
        if constraint not in (None, *names):
            raise InputError(f"got constraint={constraint!r}, expected None or one of {', '.join(map(repr, names))}")
        if not (isinstance(ridge, int | float) and 0 <= ridge < float("inf")):
            raise InputError(f"got ridge={ridge!r}, expected a number of at least 0")
        if svd == "randomized" and self.truncation.count is None:
            raise InputError("the randomized kernel needs a number as rank: give one, or take another kernel")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InputError(f"got seed={seed!r}, expected an integer")
        if isinstance(delays, bool) or not isinstance(delays, int) or delays < 1:
            raise InputError(f"got delays={delays!r}, expected an integer of at least 1")
        if forward_backward and (constraint is not None or ridge > 0):
            raise InputError("forward_backward goes with neither a constraint nor ridge: leave one of them out")
        if total_least_squares and is_state_constraint(constraint):
            raise InputError(f"total_least_squares does not go with constraint={constraint!r}: leave one of them out")
        if ridge > 0 and constraint == "orthogonal":
            raise InputError("ridge does not change an orthogonal operator, whose norm is given: leave one of them out")
        self.svd: Method = svd
        self.mode_type: ModeType = modes
        self.constraint: Constraint | None = constraint
        self.ridge = ridge
        self.forward_backward = forward_backward
        self.total_least_squares = total_least_squares
        self.delays = delays
        self.seed = seed

    def fit(
        self, X: Tensor, Y: Tensor | None = None, *, control: Tensor | None = None, ptr: Tensor | None = None
    ) -> DMD:
        """Estimate the operator from snapshots; sums are in float64, results are in the dtype of X.

        Args:
            X: Snapshots (*batch, N, F), float32 or float64. Single X and Y may be sparse, in CSR, COO or CSC form,
                and are never made dense. A batch gives a batch of operators of one rank; where a
                matrix has a lower one, its further modes and eigenvalues are zero.
            Y: The same snapshots a step later, as X. Without it, X is one series of F states in order, and its
                columns 1 to F - 1 follow its columns 0 to F - 2.
            control: Known inputs (q, F) that act on the states, :math:`Y = K X + B\\,\\Gamma`, one column for each of
                X (a last one, which nothing follows, may be there for a series), from Proctor et al.
                (https://arxiv.org/abs/1409.6358).
            ptr: The rows are those of many graphs, as in a PyG batch: graph i has rows `ptr[i]` to `ptr[i + 1]` and
                gets its own operator of the same rank, as in a batch.

        Raises:
            InputError: Wrong shape, dtype or device, NaN or infinite entries, options that do not go together.
            RankError: `rank` is above what X has.
        """
        fitted = self._unfitted()
        fitted._fit(X, Y, control, ptr)
        self.__dict__ = fitted.__dict__
        return self

    def _fit(self, X: Tensor, Y: Tensor | None, control: Tensor | None, ptr: Tensor | None) -> None:
        series = Y is None
        X, Y = self._sparse_pairs(X, Y, control, ptr) if _any_sparse(X, Y) else self._pairs(X, Y)
        if control is not None:
            control = self._checked_control(control, X, series)
        ragged = None if ptr is None else self._checked_ragged(ptr, X, series or control is not None)

        if ragged is None:
            self._first, self._last = column(X, 0), column(Y, -1)
        self._steps = X.size(-1) + series + self.delays - 1
        self._controls = None
        if is_state_constraint(self.constraint):
            check_finite("X", X)
            check_finite("Y", Y)
            S, U, core = fit_constrained(X, Y, self.constraint, self.truncation, self.ridge)
            self.singular_values, self._encoder, self._reduced = S, None, None
            self._assemble(U.to(X.dtype), None, core, ragged)
            return

        factorisation = self._factorisation()
        if ragged is None:
            factors = factorisation.of_rows(X, Y, control)
        else:
            factors = factorisation.of_graphs(X, Y, ragged)
        self.singular_values, self._encoder, self._reduced = factors.S, factors.encoder, factors.reduced
        if control is not None:
            self._controls = control.double() @ factors.encoder.whiten
        self._assemble(factors.U, factors.forward, self._solve(factors.reduced), ragged)

    def fit_moments(self, moments: Moments) -> DMD:
        """Estimate the operator from sums over rows that are elsewhere: on disk, in a stream, on other machines.

        Sets `singular_values`, `reduced_operator` and `eigs`. The rows of operator and modes follow from the rows of
        the snapshots, by :meth:`lift` and :meth:`lift_modes`. Accuracy is that of the 'gram' kernel.

        Raises:
            InputError: An option needs the rows themselves.
            RankError: `rank` is above what X has.
        """
        if self.svd in ("randomized", "full") or self.delays > 1 or is_state_constraint(self.constraint):
            raise InputError(
                "moments allow the kernels 'auto' and 'gram', no delays, and no constraint on all states: "
                f"got svd={self.svd!r}, delays={self.delays}, constraint={self.constraint!r}"
            )
        fitted = self._unfitted()
        fitted.singular_values, fitted._reduced, fitted._encoder = self._factorisation().of_moments(moments)
        fitted._controls = fitted.B = None
        fitted._dtype = moments.dtype
        fitted._decompose(self._solve(fitted._reduced))
        self.__dict__ = fitted.__dict__
        return self

    def lift(self, X: Tensor, Y: Tensor) -> LowRankOperator:
        """The rows of the operator that belong to rows X, Y (n, F) of the snapshots, after :meth:`fit_moments`.

        :meth:`LowRankOperator.project` of all parts, summed, and :meth:`LowRankOperator.expand` of each make up the
        product with the whole operator.
        """
        U, forward = self._lift_rows(X, Y)
        return self._operator(U, forward, None)

    def lift_modes(self, X: Tensor, Y: Tensor) -> Tensor:
        """The rows of :attr:`modes` (n, r) that belong to rows X, Y (n, F) of the snapshots."""
        U, forward = self._lift_rows(X, Y)
        return _times(U if forward is None else forward, self._W, None)

    def _lift_rows(self, X: Tensor, Y: Tensor) -> tuple[Tensor, Tensor | None]:
        encoder = self._encoder
        if encoder is None:
            raise InputError(f"with constraint={self.constraint!r} the operator has no rows apart from its fit")
        if encoder.whiten.dim() > 2:
            raise InputError("rows of a batch, or of graphs by ptr, are lifted by fit itself")
        check_pair(X, Y)
        if X.dim() != 2 or X.size(1) != encoder.whiten.size(-2):
            raise InputError(f"got rows of shape {tuple(X.shape)}, expected (n, {encoder.whiten.size(-2)})")
        return apply(X, encoder.whiten), apply(Y, encoder.forward) if self.mode_type == "exact" else None

    def truncate(self, rank: int) -> DMD:
        """The estimate that :meth:`fit` would make of the same snapshots with a lower rank, from what it has: for a
        sweep of ranks after one factorisation."""
        reduced, encoder = self._reduced, self._encoder
        if reduced is None or encoder is None or self.total_least_squares:
            raise InputError("a constraint on all states or total_least_squares cannot be truncated: fit again")
        truncation = Truncation(rank)
        if truncation.count is None:
            raise InputError(f"got rank={rank!r}, expected a positive integer")
        if encoder.whiten.requires_grad:
            raise InputError(
                "this estimate carries gradients, which truncation would not keep: fit again with the rank"
            )
        if rank > self.singular_values.size(-1):
            raise RankError(f"got rank={rank}, but the fit has rank {self.singular_values.size(-1)}")
        other = copy.copy(self)
        other.truncation = truncation
        other.singular_values = self.singular_values[..., :rank]
        other._reduced, other._encoder = reduced.truncate(rank), encoder.truncate(rank)
        if self._controls is not None:
            other._controls = self._controls[..., :rank]
        if hasattr(self, "operator"):
            forward = None if self._forward is None else self._forward[..., :rank]
            other._assemble(self._U[..., :rank], forward, other._solve(other._reduced), self._ragged)
        else:
            other._decompose(other._solve(other._reduced))
        return other

    def predict(self, X: Tensor, control: Tensor | None = None) -> Tensor:
        """The states one step after X (*batch, N, F), under the inputs `control` (q, F) if it was fitted with such.

        With `delays`, the states are those that it was fitted to, d consecutive ones in a column.
        """
        operator = self.operator
        if (control is None) != (self.B is None):
            raise InputError("pass `control` to predict if and only if it was passed to fit")
        following = operator.matmul(X)
        if self.B is None or control is None:
            return following
        if control.dtype != X.dtype or control.shape != (self.B.size(1), *X.shape[1:]):
            raise InputError(
                f"got control of shape {tuple(control.shape)} and {control.dtype}, expected a row for each of "
                f"{self.B.size(1)} inputs, a column for each of X {tuple(X.shape)}, and {X.dtype}"
            )
        return following + self.B @ control

    def forecast(self, steps: int, control: Tensor | None = None) -> Tensor:
        """The `steps` states after the last one that was fitted, shape (*batch, N, steps).

        Args:
            steps: Number of states, at least 1.
            control: Inputs (q, steps), of which column k leads from state k to state k + 1.
        """
        state = self._series("_last")
        if steps < 1 or (control is not None and control.shape[-1] != steps):
            raise InputError(
                f"got steps={steps} and control of shape {None if control is None else tuple(control.shape)}, "
                "expected at least one step, and a column of control for each"
            )
        states = []
        for step in range(steps):
            state = self.predict(state, None if control is None else control[..., step : step + 1])
            states.append(state)
        size = state.size(-2) // self.delays
        return torch.cat(states, dim=-1)[..., -size:, :]

    @property
    def modes(self) -> Tensor:
        r"""Modes :math:`\Phi`, shape (*batch, N, r), or (N, r) for graphs by `ptr`; column i belongs to `eigs[i]`."""
        if self._modes is None:
            self._modes = _times(self._basis, self._W, self._ragged)
        return self._modes

    @property
    def real_modes(self) -> Tensor:
        r"""A real basis of the span of the modes, of their shape; where these are eigenvectors of the operator,
        :math:`K \Phi = \Phi B` with B from `blocks`. Exact modes under a constraint, `ridge` aside, or with
        `forward_backward`, are not: they are what the data make of U W in a step.

        The columns of a complex pair :math:`a \pm i b` become :math:`\sqrt2 a, \sqrt2 b`. Real modes stay as they are.
        """
        if not self.eigs.is_complex():
            return self.modes
        W, imag = self._W, self.eigs.imag.unsqueeze(-2)
        real = torch.where(imag == 0, W.real, 2**0.5 * W.real)
        return _times(self._basis, torch.where(imag < 0, 2**0.5 * W.imag.roll(1, dims=-1), real), self._ragged)

    @property
    def blocks(self) -> Tensor:
        r"""The operator on its `real_modes`, (*batch, r, r): eigenvalues on the diagonal, and for a complex pair the
        block :math:`[[\Re\lambda, \Im\lambda], [-\Im\lambda, \Re\lambda]]`."""
        eigs = self.eigs
        if not eigs.is_complex():
            return torch.diag_embed(eigs)
        first = eigs.imag[..., :-1].clamp(min=0)
        above, below = torch.diag_embed(first, offset=1), torch.diag_embed(-first, offset=-1)
        return torch.diag_embed(eigs.real) + above + below

    @property
    def amplitudes(self) -> Tensor:
        """Coefficients of the first snapshot in the modes by least squares, shape (*batch, r)."""
        first = self._series("_first")
        return (torch.linalg.pinv(self.modes) @ first.to(self.modes.dtype)).squeeze(-1)

    @property
    def dynamics(self) -> Tensor:
        r"""The modes' coefficients :math:`b_i \lambda_i^t` at each time of the snapshots, shape (*batch, r, T)."""
        factors = [self.amplitudes.unsqueeze(-1), *[self.eigs.unsqueeze(-1)] * (self._steps - 1)]
        return torch.cat(factors, dim=-1).cumprod(dim=-1)

    @property
    def reconstructed_data(self) -> Tensor:
        """The snapshots as the modes evolve from the first one on, real, shape (*batch, N, T)."""
        states = self.modes @ self.dynamics
        states = states[..., : states.size(-2) // self.delays, :]
        return states.real if states.is_complex() else states

    @property
    def frequency(self) -> Tensor:
        r"""Cycles in a step, :math:`\arg \lambda / 2 \pi`, shape (*batch, r)."""
        return self.eigs.angle() / (2 * math.pi)

    @property
    def growth_rate(self) -> Tensor:
        r"""Rate of growth in a step, :math:`\log |\lambda|`, shape (*batch, r)."""
        return self.eigs.abs().log()

    def _pairs(self, X: Tensor, Y: Tensor | None) -> tuple[Tensor, Tensor]:
        check_matrix("X", X)
        if Y is not None:
            if self.delays > 1:
                raise InputError("delays make snapshots of one series: leave Y out")
            check_pair(X, Y)
            return X, Y
        check_finite("X", X)
        if X.size(-1) <= self.delays:
            raise InputError(
                f"got {X.size(-1)} states and no Y, expected at least {self.delays + 1}, a snapshot and one after it, "
                "in the columns of X"
            )
        if self.delays == 1:
            return X[..., :-1], X[..., 1:]
        width = X.size(-1) - self.delays + 1
        states = torch.cat([X[..., delay : delay + width] for delay in range(self.delays)], dim=-2)
        return states[..., :-1], states[..., 1:]

    def _sparse_pairs(
        self, X: Tensor, Y: Tensor | None, control: Tensor | None, ptr: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if Y is None or control is not None or ptr is not None or self.total_least_squares or self.delays > 1:
            raise InputError(
                "sparse snapshots go with X and Y, and without control, ptr, delays and total_least_squares: "
                "make them dense, as by X.to_dense()"
            )
        if is_state_constraint(self.constraint) or X.requires_grad or Y.requires_grad:
            raise InputError("sparse snapshots take no constraint on all states and no gradient: use X.to_dense()")
        check_pair(X, Y, sparse=True)
        return (csr(X) if is_sparse(X) else X), (csr(Y) if is_sparse(Y) else Y)

    def _checked_control(self, control: Tensor, X: Tensor, series: bool) -> Tensor:
        options = (self.constraint, self.forward_backward, self.total_least_squares, self.delays, self.mode_type)
        if options != (None, False, False, 1, "exact"):
            raise InputError("control goes with exact modes, and with no other option than rank, energy, svd and ridge")
        check_matrix("control", control)
        check_finite("control", control)
        if X.dim() != 2 or control.dim() != 2 or control.size(1) not in (X.size(1), X.size(1) + series):
            raise InputError(f"got control of shape {tuple(control.shape)}, expected (q, {X.size(1)})")
        return control[:, : X.size(1)].to(X)

    def _checked_ragged(self, ptr: Tensor, X: Tensor, excluded: bool) -> Ragged:
        if excluded or X.dim() != 2 or is_state_constraint(self.constraint):
            raise InputError("graphs by ptr take X and Y (N, F), and neither control nor a constraint on all states")
        if self.truncation.count is None:
            raise InputError("graphs by ptr share one rank: give a number")
        ptr = ptr.to(X.device) if isinstance(ptr, Tensor) else ptr
        ragged = Ragged(ptr, block_rows=max(1, RAGGED_ENTRIES // X.size(1)))
        if ragged.num_rows != len(X):
            raise InputError(f"got ptr for {ragged.num_rows} rows, but X has {len(X)}")
        return ragged

    def _factorisation(self) -> Factorisation:
        exact = self.mode_type == "exact"
        return Factorisation(self.truncation, self.svd, self.seed, self.ridge, self.total_least_squares, exact)

    def _solve(self, reduced: Reduced) -> Tensor:
        return reduced.solve(cast("SubspaceConstraint | None", self.constraint), self.forward_backward)

    def _decompose(self, K: Tensor) -> None:
        """Sets the eigenpairs of the reduced operator."""
        self.reduced_operator = K
        if self.constraint == "symmetric":
            eigs, W = robust(torch.linalg.eigh, K)
        else:
            # LAPACK returns conjugate pairs side by side; small problems are fastest on the CPU.
            eigs, W = robust(torch.linalg.eig, K.cpu())
        order = eigs.detach().abs().sort(dim=-1, descending=True, stable=True).indices
        eigs, W = eigs.gather(-1, order), W.take_along_dim(order.unsqueeze(-2), dim=-1)
        dtype = self._dtype.to_complex() if eigs.is_complex() else self._dtype
        self.eigs, self._W = eigs.to(K.device, dtype), W.to(K.device)
        if not bool(self.eigs.detach().isfinite().all()):
            raise InputError(f"eigenvalues overflow {self._dtype}: scale Y down, or fit in torch.float64")

    def _assemble(self, U: Tensor, forward: Tensor | None, K: Tensor, ragged: Ragged | None) -> None:
        """Sets what follows from the factors: the rows U, those of the exact modes, and the reduced operator."""
        self._U, self._forward, self._ragged = U, forward, ragged
        self._modes = None
        self._dtype = U.dtype
        self._decompose(K if K.dim() > 1 else K.diag())
        self.operator = self._operator(U, forward, ragged)
        controls = self._controls
        self.B = None if controls is None else apply(self.operator.left, controls.mT)

    @property
    def _basis(self) -> Tensor:
        return self._U if self._forward is None else self._forward

    def _operator(self, U: Tensor, forward: Tensor | None, ragged: Ragged | None) -> LowRankOperator:
        if forward is not None and self.constraint is None and not self.forward_backward:
            ones = torch.ones_like(self.singular_values, dtype=U.dtype)
            return LowRankOperator(forward, ones, U, ptr=ragged)
        return LowRankOperator(U, self.reduced_operator.to(U.dtype), U, ptr=ragged)

    def _series(self, name: str) -> Tensor:
        if self.operator.ptr is not None:
            raise InputError("graphs by ptr have no common dynamics: use predict")
        if self._controls is not None and name == "_first":
            raise InputError("states under control have no dynamics of their own: use predict or forecast")
        state: Tensor = getattr(self, name)
        return state

    def _unfitted(self) -> DMD:
        other = copy.copy(self)
        other.__dict__ = {name: value for name, value in vars(self).items() if name not in DMD.__annotations__}
        return other

    def __getattr__(self, name: str) -> NoReturn:
        if name not in DMD.__annotations__ and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        missing = "its rows are elsewhere: use lift and lift_modes" if "eigs" in vars(self) else "call fit first"
        raise NotFittedError(f"this DMD has no {name.strip('_')} yet, {missing}")

    def __repr__(self) -> str:
        options = {
            "energy" if self.truncation.energy is not None else "rank": self.truncation.energy or self.truncation.rank,
            "modes": self.mode_type,
            "constraint": self.constraint,
        }
        if self.ridge:
            options["ridge"] = self.ridge
        for name in ("forward_backward", "total_least_squares"):
            if getattr(self, name):
                options[name] = True
        if self.delays > 1:
            options["delays"] = self.delays
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in options.items())})"


def is_state_constraint(constraint: Constraint | None) -> TypeGuard[StateConstraint]:
    """Whether the constraint is on the operator on all states, not on the range of U."""
    return constraint in STATE_CONSTRAINTS


def _any_sparse(*snapshots: Tensor | None) -> bool:
    return any(isinstance(matrix, Tensor) and is_sparse(matrix) for matrix in snapshots)


def _times(basis: Tensor, M: Tensor, ragged: Ragged | None) -> Tensor:
    """Rows times a small real or complex matrix, the latter by one real product of twice the columns."""
    if M.is_complex():
        columns = torch.view_as_real(M).flatten(-2)
        return torch.view_as_complex(_times(basis, columns, ragged).unflatten(-1, (-1, 2)))
    return apply(basis, M) if ragged is None else ragged.apply(basis, M.to(basis.dtype))
