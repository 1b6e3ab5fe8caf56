"""Rules that combine the enhancement gradient with recognition gradients.

Pure maths: gradients in, combined gradient and decisions out. No autograd, no engine, no distributed code.
With ``G_IP`` the gradient of the enhancement loss and ``G_VR,k`` that of recognition loss *k*, both with respect
to the enhancement network's parameters, every rule here moves along

    G_IP + sum_k  w_k * c(s_k) * G_VR,k        with  s_k = cos(G_IP, G_VR,k)

and differs only in ``c``: a gate (:class:`GradientPromotion`), a ramp (:class:`CosineWeighted`), or 1 (:class:`Sum`).
Norms, cosines and decisions stay tensors on the gradients' device: a rule here never waits for them.
:mod:`shared.torchjd_rules` has further ones, by TorchJD's aggregators.
"""

from __future__ import annotations

import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from shared.errors import InputError, did_you_mean, nearest

Gradients = Sequence[Tensor]


@dataclass(frozen=True)
class Update:
    """What a rule decided; all but the gradients are tensors without dimensions, in double precision or boolean.

    Attributes:
        gradients: the combined gradient, one tensor per parameter, shapes as in ``main``.
        cosines: s_k per auxiliary; 0 where a norm is 0, NaN where a value is not finite.
        accepted: per auxiliary, whether its gradient was let in.
        main_norm: Euclidean norm of the main gradient; NaN or infinite when a value is.
        norms: Euclidean norm per auxiliary, before weighting.
    """

    gradients: list[Tensor]
    cosines: list[Tensor]
    accepted: list[Tensor]
    main_norm: Tensor
    norms: list[Tensor]


class UpdateRule(ABC):
    """Base of all rules, called ``rule(main, auxiliaries, weights)``. Its inputs are never modified.

    A rule that remembers earlier calls has ``state_dict`` and ``load_state_dict`` too; they go into checkpoints.

    Attributes:
        is_plain_sum: the combined gradient equals that of one weighted sum of the losses, so that a trainer may
            add the losses instead of the gradients and save a backward pass.
    """

    is_plain_sum = False

    @abstractmethod
    def __call__(self, main: Gradients, auxiliaries: Sequence[Gradients], weights: Sequence[float]) -> Update:
        """Combine one main with any number of auxiliary gradients.

        Args:
            main: G_IP, one tensor per parameter.
            auxiliaries: per auxiliary task its G_VR, tensors of the same shapes as ``main``.
            weights: lambda_k >= 0 per auxiliary task.

        Raises:
            ValueError: when lengths or shapes differ, or a weight is negative or not finite.
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class CosineRule(UpdateRule):
    """Base of the rules above: measures once, and leaves the decision to :meth:`accepts` and :meth:`factor`."""

    @abstractmethod
    def accepts(self, cosine: Tensor) -> Tensor:
        """Return whether the auxiliary gradient is let in, a boolean without dimensions; false for NaN.

        Args:
            cosine: cosine between main and auxiliary gradient, in [-1, 1]; NaN where a value is not finite.
        """

    def factor(self, cosine: Tensor) -> Tensor | None:
        """Return what multiplies ``weight * gradient`` of an auxiliary that is let in; None stands for 1."""
        return None

    def __call__(self, main: Gradients, auxiliaries: Sequence[Gradients], weights: Sequence[float]) -> Update:
        """Combine the gradients; see :class:`UpdateRule`."""
        check_gradients(main, auxiliaries, weights)
        main_norm, norms, cosines = _measure(main, auxiliaries)
        accepted = [self.accepts(s) for s in cosines]
        combined = [g.clone() for g in main]
        for gradients, weight, s, let_in in zip(auxiliaries, weights, cosines, accepted, strict=True):
            factor = self.factor(s)
            scaled = list(gradients) if factor is None else torch._foreach_mul(list(gradients), factor)
            added = torch._foreach_add(combined, list(scaled), alpha=weight)
            combined = [torch.where(let_in, new, old) for new, old in zip(added, combined, strict=True)]
        return Update(combined, cosines, accepted, main_norm, norms)


class GradientPromotion(CosineRule):
    """GradProm's gate (section 3.2): let the recognition gradient in while it agrees, s >= 0.

    Every auxiliary is gated on its own. The paper writes G_VR as the derivative with respect to the recognition
    network's own parameters; a cosine with G_IP needs both at the enhancement network's parameters, as here.
    """

    def accepts(self, cosine: Tensor) -> Tensor:
        """Return whether the gradient is aligned."""
        return cosine >= 0


class CosineWeighted(CosineRule):
    """GradProm's Lemma 3.1: weigh the recognition gradient by max(0, s).

    The lemma has no lambda, which is ``weight=1``; the tables use the same lambda as for the other rules.
    """

    def accepts(self, cosine: Tensor) -> Tensor:
        """Return whether the gradient is aligned."""
        return cosine >= 0

    def factor(self, cosine: Tensor) -> Tensor:
        """Return the cosine."""
        return cosine


class Sum(CosineRule):
    """Joint training (equation 1): always add the weighted recognition gradient."""

    is_plain_sum = True

    def accepts(self, cosine: Tensor) -> Tensor:
        """Return true wherever the values are finite."""
        return ~cosine.isnan()


def _torchjd(name: str) -> UpdateRule:
    """Return a rule of TorchJD's; it is an extra, so it is imported here and no earlier.

    Raises:
        InputError: when TorchJD, or the solver that its rule needs, is not installed.
    """
    try:
        # By name: that module is made of this one's classes, and modules do not import each other in a circle.
        rules = importlib.import_module("shared.torchjd_rules")
        return rules.NAMED[name]()
    except ImportError as err:
        reason = str(err).splitlines()[0].split(" Install")[0].rstrip(".")
        raise InputError(f"strategy {name!r}: {reason}; expected: pip install '{TORCHJD_PACKAGE}'") from err


TORCHJD_PACKAGE = "torchjd[cagrad]==0.18.0"
"""What pip installs TorchJD by: the extra ``torchjd`` of pyproject.toml, which a bundle's package does not have."""

TORCHJD = (
    "pcgrad", "gradvac", "upgrad", "dualproj", "cagrad", "aligned_mtl", "config", "graddrop", "mgda", "imtl_g",
)
"""Strategies that TorchJD makes, see :mod:`shared.torchjd_rules`."""

RULES: dict[str, Callable[[], UpdateRule]] = {
    "gradprom": GradientPromotion,
    "gradprom_cosine": CosineWeighted,
    "joint": Sum,
    "frozen": Sum,
    **{name: partial(_torchjd, name) for name in TORCHJD},
}
"""Rules by the name of the strategy that uses them (``none`` is a trainer without the handler)."""


def get(name: str) -> UpdateRule:
    """Return the rule of a strategy, for example ``get("gradprom")``.

    Raises:
        ValueError: when there is no rule of that name, or what it needs is not installed.
    """
    if name not in RULES:
        hint = did_you_mean(nearest(name, RULES))
        raise ValueError(f"name: expected one of {sorted(RULES)}, found {name!r}{hint}")
    return RULES[name]()


def check_gradients(main: Gradients, auxiliaries: Sequence[Gradients], weights: Sequence[float]) -> None:
    """Check the arguments of a rule.

    Raises:
        ValueError: when lengths or shapes differ, or a weight is negative or not finite.
    """
    if len(auxiliaries) != len(weights):
        raise ValueError(f"weights: expected one per auxiliary ({len(auxiliaries)}), found {len(weights)}")
    for weight in weights:
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"weights: expected finite values >= 0, found {weight}")
    shapes = [g.shape for g in main]
    for k, gradients in enumerate(auxiliaries):
        found = [g.shape for g in gradients]
        if found != shapes:
            raise ValueError(f"auxiliaries[{k}]: expected the shapes of main {shapes}, found {found}")


def _measure(main: Gradients, auxiliaries: Sequence[Gradients]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Return the main norm, the auxiliary norms and the cosines."""
    main_norm = _dot(main, main).sqrt()
    norms = [_dot(gradients, gradients).sqrt() for gradients in auxiliaries]
    dots = [_dot(main, gradients) for gradients in auxiliaries]
    return main_norm, norms, [cosine(d, main_norm, n) for d, n in zip(dots, norms, strict=True)]


def inner_products(rows: Sequence[Gradients]) -> Tensor:
    """Return all inner products between some gradients, [K, K] in double precision, on the gradients' device."""
    upper = {(i, j): _dot(rows[i], rows[j]) for i in range(len(rows)) for j in range(i, len(rows))}
    return torch.stack([
        torch.stack([upper[min(i, j), max(i, j)] for j in range(len(rows))]) for i in range(len(rows))
    ])


def _dot(a: Gradients, b: Gradients) -> Tensor:
    """Inner product over all tensors, in double precision: float32 squares overflow from 1e19 on."""
    if not len(a):
        return torch.zeros((), dtype=torch.float64)
    parts = [torch.dot(x.reshape(-1).double(), y.reshape(-1).double()) for x, y in zip(a, b, strict=True)]
    return torch.stack(parts).sum()


def cosine(dot: Tensor, norm_a: Tensor, norm_b: Tensor) -> Tensor:
    """Return the cosine for an inner product and two norms: 0 where a norm is 0, NaN where a value is not finite."""
    ratio = (dot / norm_a / norm_b).clamp(-1, 1)
    ratio = torch.where((norm_a == 0) | (norm_b == 0), 0.0, ratio)
    return torch.where(dot.isfinite() & norm_a.isfinite() & norm_b.isfinite(), ratio, math.nan)
