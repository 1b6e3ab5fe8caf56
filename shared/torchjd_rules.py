"""Update rules by TorchJD's aggregators, over the rows G_IP, lambda_1 * G_VR,1, lambda_2 * G_VR,2, ...

TorchJD is the extra ``torchjd`` of this package; only this module imports it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor
from torchjd import Stateful
from torchjd.aggregation import (
    IMTLG,
    MGDA,
    Aggregator,
    AlignedMTL,
    CAGrad,
    ConFIG,
    DualProj,
    GradDrop,
    GradVac,
    GramianWeightedAggregator,
    PCGrad,
    UPGrad,
    WeightedAggregator,
)
from torchjd.linalg import DualConeProjector, PSDMatrix

from shared.update_rules import Gradients, Update, UpdateRule, check_gradients, cosine, inner_products

PLAIN = (bool, int, float, str, tuple, torch.dtype, type(None))
"""What else than tensors an aggregator's state may consist of: a checkpoint can hold these."""


class JacobianRule(UpdateRule):
    """Any TorchJD aggregator as an update rule, called ``rule(main, auxiliaries, weights)``.

    The aggregator sees the Jacobian with the rows G_IP, lambda_k * G_VR,k. Where its weights depend on their Gramian
    alone it gets that, [K + 1, K + 1] in double precision, and no flat copy of the gradients is made. A row that is
    zero or not finite is left out: it says nothing, and the min-norm rules would stop there for good.

    Unlike :mod:`shared.update_rules` this waits for the device: the aggregators work on numbers in main memory.

    ``accepted`` is whether the aggregator gives an auxiliary's row a positive weight (PCGrad always does); for an
    aggregator without weights (ConFIG, GradDrop) whether the combined gradient has a positive inner product with
    G_VR,k.

    Random choices (the order in which PCGrad and GradVac go through the rows, from three rows on) depend on ``seed``
    and the number of calls so far, not on the global generator: every rank of a data-parallel run chooses alike,
    and a strategy does not change which noise the others see. State (GradVac's moving averages) goes into
    checkpoints; it starts anew when the number of rows changes.

    Args:
        aggregator: for example ``torchjd.aggregation.PCGrad()``.
        sum_rows: multiply by the number of rows, for an aggregator whose weights are those of a mean.
        unit_scale: divide the Gramian by its trace, for an aggregator whose weights do not depend on a common scale
            of the rows. TorchJD compares squared norms with 1e-4, below which a converging loss's gradients fall.
        seed: >= 0, of the random choices.

    Raises:
        ValueError: when the aggregator is none, or holds state that no checkpoint can (NashMTL).
    """

    def __init__(
        self, aggregator: Aggregator, sum_rows: bool = False, unit_scale: bool = False, seed: int = 0
    ) -> None:
        if not isinstance(aggregator, Aggregator):
            raise ValueError(f"aggregator: expected one of torchjd.aggregation, found {type(aggregator).__name__}")
        if not isinstance(seed, int) or seed < 0:
            raise ValueError(f"seed: expected a whole number >= 0, found {seed!r}")
        self.aggregator = aggregator
        self.sum_rows = sum_rows
        self.unit_scale = unit_scale
        self.seed = seed
        self.calls = 0
        self._aggregator_state()

    def __call__(self, main: Gradients, auxiliaries: Sequence[Gradients], weights: Sequence[float]) -> Update:
        """Combine one main with any number of auxiliary gradients; see :class:`~shared.update_rules.UpdateRule`."""
        check_gradients(main, auxiliaries, weights)
        products = inner_products([main, *auxiliaries]).cpu()
        main_norm, *norms = products.diagonal().sqrt()
        cosines = [cosine(products[0, k], main_norm, norm) for k, norm in enumerate(norms, 1)]
        factors = np.array([1.0, *weights])
        gramian = products.numpy() * np.outer(factors, factors)
        accepted = [torch.tensor(False) for _ in norms]
        if not main_norm.isfinite():
            return Update([g.clone() for g in main], cosines, accepted, main_norm, norms)
        rows = [k for k, v in enumerate(np.diag(gramian)) if v > 0 and math.isfinite(v)]
        combined = [g.clone() for g in main]
        if rows and rows != [0]:
            chosen = [[main, *auxiliaries][k] for k in rows]
            combined, used = self._aggregate(chosen, factors[rows], gramian[np.ix_(rows, rows)])
            for k, positive in zip(rows, used, strict=True):
                if k:
                    accepted[k - 1] = torch.tensor(positive)
        self.calls += 1
        return Update(combined, cosines, accepted, main_norm, norms)

    def state_dict(self) -> dict[str, Any]:
        """Return the number of calls and the aggregator's state."""
        return {"calls": self.calls, "aggregator": self._aggregator_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave.

        Raises:
            KeyError: when the state is that of another aggregator.
        """
        modules = dict(self.aggregator.named_modules())
        for name, values in state["aggregator"].items():
            for key, value in values.items():
                setattr(modules[name], key, value)
        self.calls = state["calls"]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.aggregator!r})"

    def _aggregate(
        self, rows: list[Gradients], factors: np.ndarray, gramian: np.ndarray
    ) -> tuple[list[Tensor], list[bool]]:
        """Return the combined gradient, and per row whether it was let in."""
        scale = len(rows) if self.sum_rows else 1
        device = rows[0][0].device
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
            torch.manual_seed(np.random.SeedSequence([self.seed, self.calls]).generate_state(1)[0].item())
            if isinstance(self.aggregator, GramianWeightedAggregator):
                shared_scale = np.trace(gramian) if self.unit_scale else 1.0
                found = self.aggregator.gramian_weighting(torch.from_numpy(gramian / shared_scale))
            else:
                matrix = torch.stack([_flat(row) * f for row, f in zip(rows, factors, strict=True)])
                if not isinstance(self.aggregator, WeightedAggregator):
                    vector = scale * self.aggregator(matrix)
                    return _shaped(vector, rows[0]), (matrix @ vector > 0).tolist()
                found = self.aggregator.weighting(matrix)
        weights = [scale * w for w in found.tolist()]
        combined = list(torch._foreach_mul(list(rows[0]), weights[0] * factors[0]))
        for row, weight, factor in zip(rows[1:], weights[1:], factors[1:], strict=True):
            torch._foreach_add_(combined, list(row), alpha=float(weight * factor))
        return combined, [w > 0 for w in weights]

    def _aggregator_state(self) -> dict[str, dict[str, Any]]:
        """Return what a stateful aggregator remembers, by submodule; its own ``state_dict`` lacks what is no tensor.

        Its settings are plain attributes too, and come along.
        """
        state: dict[str, dict[str, Any]] = {}
        if isinstance(self.aggregator, Stateful):
            for name, module in self.aggregator.named_modules():
                own = {k: v for k, v in vars(module).items() if k not in _MODULE_ATTRIBUTES and not callable(v)}
                bad = [k for k, v in own.items() if not isinstance(v, (Tensor, *PLAIN))]
                if bad:
                    raise ValueError(
                        f"aggregator: {type(self.aggregator).__name__} keeps {bad[0]!r} between calls, "
                        "which no checkpoint can hold; expected tensors and numbers"
                    )
                buffers = {k: v if v is None else v.clone() for k, v in module._buffers.items()}
                state[name] = {**own, **buffers}
        return state


class NonNegativeProjector(DualConeProjector):
    """Project onto the dual cone of the rows, exactly and free of their scale, by non-negative least squares.

    min_v v' G v with v >= u. TorchJD's own projector adds 1e-4 to the diagonal of the normalised Gramian, which is
    more than the whole row lambda * G_VR with lambda = 1e-4; this one works on cosines.
    """

    def __call__(self, U: Tensor, G: PSDMatrix) -> Tensor:  # noqa: N803 (names of the base class)
        """Return for each vector u in ``U`` [..., m] the weights of its projection, for the Gramian ``G`` [m, m]."""
        gramian = G.detach().cpu().double().numpy()
        norms = np.sqrt(np.diag(gramian))
        eigenvalues, vectors = np.linalg.eigh(gramian / np.outer(norms, norms))
        root = np.sqrt(eigenvalues.clip(min=0))[:, None] * vectors.T
        targets = U.detach().cpu().double().reshape(-1, len(norms)).numpy()
        found = np.stack([u + nnls(root, -root @ (norms * u))[0] / norms for u in targets])
        return torch.from_numpy(found).reshape(U.shape).to(U)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


NAMED: dict[str, Callable[[], JacobianRule]] = {
    "pcgrad": lambda: JacobianRule(PCGrad(), unit_scale=True),
    "gradvac": lambda: JacobianRule(GradVac(eps=1e-20), unit_scale=True),
    "upgrad": lambda: JacobianRule(UPGrad(projector=NonNegativeProjector()), sum_rows=True, unit_scale=True),
    "dualproj": lambda: JacobianRule(DualProj(projector=NonNegativeProjector()), sum_rows=True, unit_scale=True),
    "cagrad": lambda: JacobianRule(CAGrad(c=0.5, norm_eps=1e-7), sum_rows=True, unit_scale=True),
    "aligned_mtl": lambda: JacobianRule(AlignedMTL(), sum_rows=True, unit_scale=True),
    "config": lambda: JacobianRule(ConFIG()),
    "graddrop": lambda: JacobianRule(GradDrop()),
    "mgda": lambda: JacobianRule(MGDA(), unit_scale=True),
    "imtl_g": lambda: JacobianRule(IMTLG(), unit_scale=True),
}
"""The strategies, and the scale of each.

Equal to ``joint`` wherever no two rows conflict: ``pcgrad``; ``upgrad`` and ``dualproj`` (TorchJD projects the mean
of the rows, here it is their sum); ``gradvac`` while its wanted cosines are still 0; ``graddrop`` where the signs of
all rows agree. Equal to ``joint`` for orthogonal rows of one norm: ``aligned_mtl``, ``config``. ``cagrad`` is
``joint`` plus a correction of half its length (c = 0.5) along the worst-off rows.
``mgda`` and ``imtl_g`` weigh the rows with numbers that sum to 1, by their definition: no sum of rows is meant.

What lambda means differs too. Where rows conflict, ``pcgrad``, ``gradvac``, ``upgrad`` and ``dualproj`` take out of
G_IP what points against G_VR however small lambda is: they tend to G_IP without its part along G_VR, not to G_IP.
The correction of ``cagrad`` keeps its length for a small lambda (below 1e-7 of |G_IP| it stops: the update is zero).
``mgda`` favours the shortest row, which then is lambda * G_VR; ``aligned_mtl`` shortens the longer rows to the
shortest. The directions of ``imtl_g`` and ``config`` do not depend on lambda at all, only their lengths do.
"""

_MODULE_ATTRIBUTES = frozenset(vars(torch.nn.Module()))


def _flat(gradients: Gradients) -> Tensor:
    return torch.cat([g.reshape(-1) for g in gradients])


def _shaped(vector: Tensor, like: Gradients) -> list[Tensor]:
    parts = vector.split([g.numel() for g in like])
    return [part.reshape(g.shape).to(g) for part, g in zip(parts, like, strict=True)]
