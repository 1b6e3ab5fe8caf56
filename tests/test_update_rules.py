import itertools
import math

import pytest
import torch

from shared import update_rules
from shared.update_rules import CosineWeighted, GradientPromotion, Sum

RULES = [GradientPromotion(), CosineWeighted(), Sum()]
SHAPES = [(3, 2), (5,), (1, 2, 2)]


def random_gradients(seed: int, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in SHAPES]


def flat(gradients) -> torch.Tensor:
    return torch.cat([g.reshape(-1).double() for g in gradients])


def naive(rule, main, auxiliaries, weights):
    """The table of the specification, on flattened vectors, with nothing shared with the implementation."""
    g = flat(main)
    result = g.clone()
    for auxiliary, weight in zip(auxiliaries, weights, strict=True):
        a = flat(auxiliary)
        cosine = float(g @ a / (g.norm() * a.norm())) if g.norm() > 0 and a.norm() > 0 else 0.0
        if isinstance(rule, Sum) or isinstance(rule, GradientPromotion) and cosine >= 0:
            result = result + weight * a
        elif isinstance(rule, CosineWeighted):
            result = result + weight * max(0.0, cosine) * a
    return result


def aligned(sign: int) -> tuple[list, list]:
    """A main and an auxiliary gradient whose cosine has the given sign."""
    for seed in itertools.count(1):
        main, auxiliary = random_gradients(0), random_gradients(seed)
        if torch.sign(flat(main) @ flat(auxiliary)) == sign:
            return main, auxiliary
    raise AssertionError


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_agrees_with_naive_reference(rule, count, scale):
    weights = [1e-4, 1.0, 0.5][:count]
    for seed in range(10):
        main = random_gradients(seed)
        auxiliaries = [random_gradients(100 * seed + k + 1, scale) for k in range(count)]
        expected = naive(rule, main, auxiliaries, weights)
        torch.testing.assert_close(flat(rule(main, auxiliaries, weights).gradients), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("rule", [GradientPromotion(), CosineWeighted()], ids=repr)
@pytest.mark.parametrize("weight", [0.0, 1e-4, 1.0, 100.0])
def test_never_turns_against_the_main_gradient(rule, weight):
    for seed in range(50):
        main = random_gradients(seed)
        auxiliaries = [random_gradients(seed + 1000, 10.0), random_gradients(seed + 2000)]
        assert flat(rule(main, auxiliaries, [weight, weight]).gradients) @ flat(main) >= 0


def test_joint_does_turn_against_the_main_gradient():
    main, auxiliary = aligned(-1)
    assert flat(Sum()(main, [auxiliary], [1e3]).gradients) @ flat(main) < 0


@pytest.mark.parametrize("sign", [1, -1])
def test_gate_is_joint_or_none(sign):
    main, auxiliary = aligned(sign)
    update = GradientPromotion()(main, [auxiliary], [0.3])
    expected = Sum()(main, [auxiliary], [0.3]).gradients if sign > 0 else main
    assert all(torch.equal(a, b) for a, b in zip(update.gradients, expected, strict=True))
    assert update.accepted == [sign > 0]


@pytest.mark.parametrize("scale", [1e-12, 7.0, 1e12])
def test_gate_ignores_the_scale_of_either_loss(scale):
    for seed in range(20):
        main, auxiliary = random_gradients(seed), random_gradients(seed + 500)
        decision = GradientPromotion()(main, [auxiliary], [1.0])
        scaled_main = GradientPromotion()([scale * g for g in main], [auxiliary], [1.0])
        scaled_auxiliary = GradientPromotion()(main, [[scale * g for g in auxiliary]], [1.0])
        assert decision.accepted == scaled_main.accepted == scaled_auxiliary.accepted
        torch.testing.assert_close(scaled_main.cosines, decision.cosines, rtol=1e-12, atol=1e-12)


def test_tasks_are_gated_one_by_one():
    main, good = aligned(1)
    _, bad = aligned(-1)
    update = GradientPromotion()(main, [good, bad, good], [1.0, 1.0, 2.0])
    assert update.accepted == [True, False, True]
    torch.testing.assert_close(flat(update.gradients), flat(main) + 3 * flat(good), rtol=1e-12, atol=0)


def test_permuting_tasks_permutes_decisions():
    main = random_gradients(0)
    auxiliaries = [random_gradients(k) for k in (1, 2, 3)]
    forward = GradientPromotion()(main, auxiliaries, [0.1, 0.2, 0.3])
    backward = GradientPromotion()(main, auxiliaries[::-1], [0.3, 0.2, 0.1])
    assert forward.cosines == backward.cosines[::-1]
    torch.testing.assert_close(flat(forward.gradients), flat(backward.gradients), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("zero", ["main", "auxiliary"])
def test_zero_norm_counts_as_aligned(zero):
    main, auxiliary = random_gradients(1), random_gradients(2)
    if zero == "main":
        main = [torch.zeros_like(g) for g in main]
    else:
        auxiliary = [torch.zeros_like(g) for g in auxiliary]
    update = GradientPromotion()(main, [auxiliary], [1.0])
    assert (update.cosines, update.accepted) == ([0.0], [True])


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_non_finite_auxiliary_is_left_out(rule, value):
    main, auxiliary = random_gradients(1), random_gradients(2)
    auxiliary[1][0] = value
    update = rule(main, [auxiliary], [1.0])
    assert all(torch.equal(a, b) for a, b in zip(update.gradients, main, strict=True))
    assert update.accepted == [False]
    assert math.isnan(update.cosines[0])


def test_float32_gradients_whose_squares_overflow():
    main = random_gradients(1, 1e25, torch.float32)
    auxiliary = [3 * g for g in main]
    assert GradientPromotion()(main, [auxiliary], [1.0]).cosines == pytest.approx([1.0], abs=1e-12)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_inputs_stay_untouched(rule):
    main, auxiliary = aligned(1)
    before = flat(main), flat(auxiliary)
    rule(main, [auxiliary], [1.0])
    assert torch.equal(flat(main), before[0])
    assert torch.equal(flat(auxiliary), before[1])


def test_reports_norms():
    main, auxiliary = random_gradients(1), random_gradients(2)
    update = Sum()(main, [auxiliary], [1.0])
    assert update.main_norm == pytest.approx(float(flat(main).norm()), rel=1e-14)
    assert update.norms == pytest.approx([float(flat(auxiliary).norm())], rel=1e-14)


def test_agrees_with_torchjd_sum_where_the_gate_is_open():
    torchjd = pytest.importorskip("torchjd.aggregation")
    main, auxiliary = aligned(1)
    expected = torchjd.Sum()(torch.stack([flat(main), 0.7 * flat(auxiliary)]))
    torch.testing.assert_close(flat(GradientPromotion()(main, [auxiliary], [0.7]).gradients), expected)


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_refuses_bad_weights(weight):
    with pytest.raises(ValueError, match="weights: expected finite values >= 0"):
        Sum()(random_gradients(1), [random_gradients(2)], [weight])


def test_refuses_other_shapes_and_lengths():
    with pytest.raises(ValueError, match=r"auxiliaries\[0\]: expected the shapes of main"):
        Sum()(random_gradients(1), [random_gradients(2)[:2]], [1.0])
    with pytest.raises(ValueError, match="weights: expected one per auxiliary"):
        Sum()(random_gradients(1), [random_gradients(2)], [])


@pytest.mark.parametrize(("name", "kind"), [
    ("gradprom", GradientPromotion), ("gradprom_cosine", CosineWeighted), ("joint", Sum), ("frozen", Sum),
])
def test_get(name, kind):
    assert type(update_rules.get(name)) is kind


def test_get_names_the_nearest_rule():
    with pytest.raises(ValueError, match="did you mean 'gradprom'"):
        update_rules.get("gradpron")
