"""Dynamic Mode Decomposition."""

from __future__ import annotations

import copy

from torch import Tensor

from dmdgnn.errors import InputError, RankError
from dmdgnn.estimate import Estimate
from dmdgnn.fitted import Fitted, times
from dmdgnn.kernels.moments import Moments, check_pair
from dmdgnn.kernels.ragged import Ragged
from dmdgnn.kernels.robust import all_finite, check_finite
from dmdgnn.kernels.rows import apply, inner
from dmdgnn.kernels.thin_svd import check_matrix
from dmdgnn.kernels.truncation import Truncation
from dmdgnn.online import with_past
from dmdgnn.operator import LowRankOperator
from dmdgnn.options import Constraint, Estimator, ModeType, is_number, is_state_constraint
from dmdgnn.precision import full_precision
from dmdgnn.trajectories import Pairs, Series, any_sparse

__all__ = ["DMD", "Constraint", "Estimator", "ModeType", "is_state_constraint"]

# Entries of a padded block of small graphs: with its float64 copies, it stays in the cache of a processor.
RAGGED_ENTRIES = 2**21


class DMD(Estimate):
    r"""Low-rank linear operator that best maps each snapshot to the one a step later.

    With :math:`X \approx U S V^H` cut to rank r, the reduced operator, its eigendecomposition and the modes are

    .. math::
        \tilde K = U^H Y V S^{-1} = W \Lambda W^{-1}, \qquad
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

            - 'symmetric', 'skew_symmetric', 'orthogonal': the one on the range of U that fits best.
              Eigenvalues and modes of symmetric operators are real. For symmetric linear dynamics the operator is the
              unconstrained one.
              For complex snapshots they are Hermitian, skew-Hermitian and unitary.
            - 'diagonal', 'circulant': the one on all N states, in the order of the rows, that fits best, cut to the r
              modes that capture most of Y. A conjugate pair is not split, so a circulant one may be of rank r - 1.
            - 'lower_triangular' (causal), 'upper_triangular': the same, N x N and of full rank, which needs N
              independent snapshots or `ridge`. The modes are exact and projected ones at once.
        estimator: How the rank is spent.

            - 'pcr', principal component regression: on the r directions that make up most of X, as above.
            - 'rrr', reduced-rank regression: the operator of rank r that predicts Y best, as measured by the squared
              error with the penalty `ridge`, from Kostic et al. (https://arxiv.org/abs/2205.14027),

              .. math:: K = \mathop{\mathrm{argmin}}_{\mathrm{rank} K \le r} \|K X - Y\|_F^2 + \lambda \|K\|_F^2 .

              Rank and energy are then those of the fitted Y, as `singular_values` are. X keeps its numerical rank, so
              that noisy snapshots need `ridge`. Modes are exact and projected ones at once.
        ridge: Penalty :math:`\lambda \ge 0` in the least squares problem
            :math:`\|K X - Y\|_F^2 + \lambda \|K\|_F^2`, in units of squared entries of X.
        forward_backward: Take the mean of forward and inverse backward dynamics, which removes the bias of noise
            (Dawson et al., https://arxiv.org/abs/1507.02264). Their :math:`(K_f K_b^{-1})^{1/2}` leaves open which
            root, above all for eigenvalues that cancel, as those of bipartite graphs do. With
            :math:`M = (K_f + K_b^{-1}) / 2` and :math:`E = (K_f - K_b^{-1}) / 2`, here it is
            :math:`K = M - M^{-1} E^2 / 2`, of the same eigenvalues to second order in E.
        total_least_squares: First project the columns of both snapshots on the r leading right singular vectors of
            :math:`[X; Y]`, which removes the bias of noise, too (Hemati et al., https://arxiv.org/abs/1502.03854).
            Without a number as rank, r is what the rule gives for X. If that is the number of snapshots, nothing would
            be removed, which is refused.
        delays: Number d of consecutive states of a series that make up one snapshot (Hankel DMD): state t becomes
            the rows :math:`[x_t; x_{t+1}; \dots; x_{t+d-1}]`.
        center: First take from X and from Y the mean of each row over the columns, so that the operator is that of
            affine dynamics, :math:`y - \bar y = K (x - \bar x)` (Hirsh et al., https://arxiv.org/abs/1906.05973).
            Its predictions have the means again.
        dt: Time from one state to the next: the unit of `frequency`, `growth_rate`, `times` and all times.
        opt: Fit `amplitudes` to all states, not to the first one.
        seed: Seed of the randomized kernel. Its gradients are as exact as the subspace that it finds.

    Attributes:
        rank, energy, svd ... : The settings, by the names of the arguments; that of `modes` is `mode_type`.
        singular_values: S (*batch, r), float64, descending; under a constraint on all states, the norms of what each
            mode captures of Y, of all modes of X for triangular ones.
        reduced_operator: :math:`\tilde K` (*batch, r, r), float64.
        eigs: Eigenvalues (*batch, r) by descending modulus; real for symmetric operators, else complex with conjugate
            pairs side by side, the positive imaginary part first.
        operator: The :class:`LowRankOperator` :math:`U \tilde K U^H`, or :math:`Y V S^{-1} U^H` for exact modes
            without other options.
        B: With `control`, the map from inputs to states (N, q).

    The names that PyDMD's users know: `modes, eigs, amplitudes, dynamics, reconstructed_data, frequency, growth_rate,
    predict, forecast, opt`.

    Snapshots may be complex, in complex64 or complex128: transposes are then conjugate, modes and states complex, and
    eigenvalues come in no pairs. Layers take real modes: give real and imaginary parts as rows of their own there.

    **Gradients** flow from the operator, :attr:`reduced_operator` and :meth:`predict` to X and Y where these require
    them. They do not depend on the signs, order or rotation of singular vectors and are finite for repeated and zero
    singular values, as long as :math:`\sigma_r > \sigma_{r+1}`; elsewhere the operator has no derivative, and the part
    of the gradient that it would need is left out. The gradients of `eigs` and `modes` are as in
    :func:`torch.linalg.eig`.

    >>> import torch
    >>> A = torch.tensor([[0.9, 0.2], [0.0, 0.5]], dtype=torch.float64)
    >>> X = torch.eye(2, dtype=torch.float64)
    >>> DMD(rank=2).fit(X, A @ X).eigs.real
    tensor([0.9000, 0.5000], dtype=torch.float64)
    """

    @full_precision
    def fit(
        self,
        X: Series,
        Y: Series | None = None,
        *,
        control: Series | None = None,
        B: Tensor | None = None,
        ptr: Tensor | None = None,
    ) -> DMD:
        """Estimate the operator from snapshots; sums are in double precision, results are in the dtype of X.

        Args:
            X: Snapshots (*batch, N, F), float32 or float64, or complex64 or complex128. A batch gives a batch of
                operators of one rank; where a matrix has a lower one, its further modes and eigenvalues are zero. Or a
                list of trajectories (N, F_i) of one system, of any lengths: no step leads from one to the next, and
                what is one for each time, such as `amplitudes` and `forecast`, is one for each trajectory. Single X
                and Y may be sparse, in CSR, COO or CSC form, and are never made dense.
            Y: The same snapshots a step later, as X. Without it, X is one series of F states in order, and its
                columns 1 to F - 1 follow its columns 0 to F - 2.
            control: Known inputs (q, F) that act on the states, :math:`Y = K X + B\\,\\Gamma`, one column for each of
                X (a last one, which nothing follows, may be there for a series), from Proctor et al.
                (https://arxiv.org/abs/1409.6358); a list of them for a list of trajectories; complex only for complex
                states. The rank is that of states and inputs together. Directions that inputs alone have make no modes,
                so that there may be fewer eigenvalues than the rank.
            B: The map from inputs to states (N, q), where it is known: then it is not estimated, and all options but
                `delays` go with `control`.
            ptr: The rows are those of many graphs, as in a PyG batch: graph i has rows `ptr[i]` to `ptr[i + 1]` and
                gets its own operator of the same rank, as in a batch.

        Raises:
            InputError: Wrong shape, dtype or device, NaN or infinite entries, options that do not go together.
            RankError: `rank` is above what X has.
        """
        if any_sparse(X, Y):
            self._check_sparse(X, Y, control, ptr)
        pairs = Pairs.of(X, Y, self.delays)
        if control is None and B is not None:
            raise InputError("got B without control: give the inputs, too, or neither")
        inputs = None if control is None else self._checked_control(pairs, control, B)
        excluded = pairs.series or control is not None or pairs.several
        ragged = None if ptr is None else self._checked_ragged(ptr, pairs.X, excluded)
        fitted = self._unfitted()
        fitted._fit(pairs, inputs, B, ragged)
        self.__dict__ = fitted.__dict__
        return self

    def _fit(self, pairs: Pairs, control: Tensor | None, B: Tensor | None, ragged: Ragged | None) -> None:
        self._driven, self.B, self._means, self._mean_control = control is not None, B, None, None
        if ragged is None:
            self._first, self._last = pairs.first, pairs.last
        self._lengths = tuple(width + (self.delays if pairs.series else 0) for width in pairs.widths)
        self._ends = tuple(width + self.delays - 1 for width in pairs.widths)
        self._several = pairs.several
        X, Y = pairs.X, pairs.Y
        if control is not None and B is not None:
            Y, control = Y - B @ control, None
        if self.center:
            if X.size(-1) < 2:
                raise InputError("center leaves nothing of one snapshot pair: give two at least, or leave it out")
            self._means = X.mean(dim=-1, keepdim=True), Y.mean(dim=-1, keepdim=True)
            for name, side, mean in (("X", X, self._means[0]), ("Y", Y, self._means[1])):
                if not all_finite(mean):
                    check_finite(name, side)  # with the mean taken off, all of a row would be NaN
            X, Y = X - self._means[0], Y - self._means[1]
            if control is not None:
                self._mean_control = control.mean(dim=-1, keepdim=True)
                control = control - self._mean_control
        self._estimate(X, Y, control, ragged)
        self._seen = None
        if self.opt and ragged is None and not self._driven:
            self._seen = [inner(self._basis, snapshots) for snapshots in pairs.snapshots()]

    @full_precision
    def update(self, X: Tensor, Y: Tensor | None = None, *, forget: float = 1.0) -> DMD:
        """Add new snapshots to those that it was fitted to, without these: online DMD.

        In the place of the earlier snapshots, r pairs of columns stand for them, as in Hemati et al., "Dynamic mode
        decomposition for large and streaming data sets" (https://arxiv.org/abs/1406.7187). If r is their full rank,
        the operator is that of all snapshots; else what lies outside of the r directions is lost. An update costs as
        much after many as after few. :attr:`dual_residuals` are then those of the new snapshots and the r pairs.

        Args:
            X: New states (*batch, N, F) that follow the last one; with Y, any snapshots.
            Y: The same a step later.
            forget: Weight in (0, 1] of all earlier squares, once for each update.

        Raises:
            InputError: The snapshots do not fit, or an option needs the earlier ones.
        """
        if not is_number(forget) or not 0 < forget <= 1:
            raise InputError(f"got forget={forget!r}, expected a number in (0, 1]")
        past = self.operator
        options = (self.forward_backward, self.total_least_squares, self.center, self.opt, self.estimator)
        plain = options == (False, False, False, False, "pcr") and self.rank != "optimal" and self._encoder is not None
        if not plain or self._driven or self._several or past.ptr is not None or self._gains is not None:
            raise InputError(
                "update goes with one series or batch, with all its modes, without control, and with no option but "
                "rank, energy, svd, ridge, delays, dt and constraints on the range of U: fit again"
            )
        if self.mode_type != "exact":
            raise InputError("update needs exact modes, which tell where all states go: fit with modes='exact'")
        pairs = with_past(self, X, Y, float(forget))
        new = pairs.widths[0] - self.singular_values.size(-1)
        fitted = self._unfitted()
        fitted._fit(pairs, None, None, None)
        fitted._first = self._first
        fitted._lengths, fitted._ends = (self._lengths[0] + new,), (self._ends[0] + new,)
        self.__dict__ = fitted.__dict__
        return self

    @full_precision
    def fit_moments(self, moments: Moments) -> DMD:
        """Estimate the operator from sums over rows that are elsewhere: on disk, in a stream, on other machines.

        Sets `singular_values`, `reduced_operator` and `eigs`. The rows of operator and modes follow from the rows of
        the snapshots, by :meth:`lift` and :meth:`lift_modes`. Accuracy is that of the 'gram' kernel. With `center`, the
        mean of each row over its columns is left out, and the operator is that of what remains.

        Raises:
            InputError: An option needs the rows themselves.
            RankError: `rank` is above what X has.
        """
        if self.svd in ("randomized", "full") or self.delays > 1 or is_state_constraint(self.constraint):
            raise InputError(
                "moments allow the kernels 'auto' and 'gram', no delays, and no constraint on all states: "
                f"got svd={self.svd!r}, delays={self.delays}, constraint={self.constraint!r}"
            )
        if not isinstance(moments, Moments):
            raise InputError(f"got {type(moments).__name__}, expected dmdgnn.kernels.Moments")
        if self.center:
            moments = moments.centred()
        fitted = self._unfitted()
        S, reduced, encoder, fitted._shadows = self._factorisation().of_moments(moments)
        fitted.singular_values, fitted._reduced, fitted._encoder = S, reduced, encoder
        whiten = encoder.whiten
        fitted._image_moments = whiten.mH @ moments.XY @ whiten, whiten.mH @ moments.YY @ whiten
        fitted._controls = fitted._turns = fitted.B = fitted._inverse = fitted._gains = fitted._means = None
        fitted._ragged = None
        fitted._driven, fitted._dtype = False, moments.dtype
        fitted._decompose(self._solve(reduced))
        self.__dict__ = fitted.__dict__
        return self

    @full_precision
    def lift(self, X: Tensor, Y: Tensor) -> LowRankOperator:
        """The rows of the operator that belong to rows X, Y (n, F) of the snapshots, after :meth:`fit_moments`.

        :meth:`LowRankOperator.project` of all parts, summed, and :meth:`LowRankOperator.expand` of each make up the
        product with the whole operator.

        Raises:
            InputError: The rows are no valid pair, have other columns than the fit, or the estimate is one of a batch,
                of graphs by `ptr` or under a constraint on all states.
        """
        U, forward = self._lift_rows(X, Y)
        return self._operator(U, forward, None)

    @full_precision
    def lift_modes(self, X: Tensor, Y: Tensor) -> Tensor:
        """The rows of :attr:`modes` (n, r) that belong to rows X, Y (n, F) of the snapshots.

        Raises:
            InputError: As :meth:`lift`.
        """
        U, forward = self._lift_rows(X, Y)
        return times(U if forward is None else forward, self._W)

    def _lift_rows(self, X: Tensor, Y: Tensor) -> tuple[Tensor, Tensor | None]:
        encoder = self._encoder
        if encoder is None:
            raise InputError(f"with constraint={self.constraint!r} the operator has no rows apart from its fit")
        if encoder.whiten.dim() > 2:
            raise InputError("rows of a batch, or of graphs by ptr, are lifted by fit itself")
        check_pair(X, Y)
        if X.dim() != 2 or X.size(1) != encoder.whiten.size(-2):
            raise InputError(f"got rows of shape {tuple(X.shape)}, expected (n, {encoder.whiten.size(-2)})")
        if X.dtype.is_complex != self._dtype.is_complex:
            raise InputError(f"got rows of {X.dtype} for a fit of {self._dtype}, expected both real or both complex")
        if self.center:
            X, Y = X - X.mean(dim=-1, keepdim=True), Y - Y.mean(dim=-1, keepdim=True)
        U, forward = apply(X, encoder.whiten), apply(Y, encoder.forward) if self._exact else None
        if self._turns is None or forward is None:
            return U, forward
        return apply(U, self._turns[0]), apply(forward, self._turns[1])

    @full_precision
    def truncate(self, rank: int) -> DMD:
        """The estimate that :meth:`fit` would make of the same snapshots with a lower rank, from what it has: for a
        sweep of ranks after one factorisation.

        Raises:
            InputError: The estimate carries gradients, or has not what a lower rank needs: after `select` or
                `stabilise`, with `total_least_squares`, or under a constraint on all states.
            RankError: `rank` is above that of the fit.
        """
        reduced, encoder, shadows = self._reduced, self._encoder, self._shadows
        if reduced is None or encoder is None or shadows is None or self.total_least_squares:
            raise InputError(
                "chosen modes, a constraint on all states or total_least_squares cannot be truncated: fit again"
            )
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
        other._shadows = shadows.truncate(rank)
        if self._controls is not None:
            other._controls = self._controls[..., :rank]
        if hasattr(self, "operator"):
            U, forward = self._whole or (self._U, self._forward)
            forward = None if forward is None else forward[..., :rank]
            other._assemble(U[..., :rank], forward, other._solve(other._reduced), self._ragged)
            if self._seen is not None:
                other._seen = [seen[..., :rank, :] for seen in self._seen]
        else:
            if self._image_moments is not None:
                XY, YY = (moment[:rank, :rank] for moment in self._image_moments)
                other._image_moments = XY, YY
            other._inverse = None
            other._decompose(other._solve(other._reduced))
        return other

    def _check_sparse(self, X: Series, Y: Series | None, control: Series | None, ptr: Tensor | None) -> None:
        single = isinstance(X, Tensor) and isinstance(Y, Tensor)
        options = (self.total_least_squares, self.center, is_state_constraint(self.constraint))
        if not single or control is not None or ptr is not None or self.delays > 1 or any(options):
            raise InputError(
                "sparse snapshots go with one X and Y, and without control, ptr, delays, total_least_squares, center "
                "and constraints on all states: make them dense, as by X.to_dense()"
            )
        if any(isinstance(side, Tensor) and side.requires_grad for side in (X, Y)):
            raise InputError("sparse snapshots take no gradient: use X.to_dense()")

    def _checked_control(self, pairs: Pairs, control: Series, B: Tensor | None) -> Tensor:
        options = (self.constraint, self.forward_backward, self.total_least_squares, self.mode_type, self.estimator)
        if self.delays > 1 or (B is None and options != (None, False, False, "exact", "pcr")):
            raise InputError(
                "control goes with exact modes, and with no other option than rank, energy, svd, ridge, center and dt; "
                "with a known B, with all but delays"
            )
        inputs = pairs.side_by_side(control)
        if B is not None:
            check_matrix("B", B)
            check_finite("B", B)
            expected = (pairs.X.size(0), inputs.size(0))
            if B.shape != expected or B.dtype != pairs.X.dtype or B.device != pairs.X.device:
                raise InputError(f"got B {tuple(B.shape)} of {B.dtype}, expected {expected} and {pairs.X.dtype}, as X")
        return inputs

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

    def _unfitted(self) -> DMD:
        other = copy.copy(self)
        other.__dict__ = {name: value for name, value in vars(self).items() if name not in Fitted.__annotations__}
        return other
