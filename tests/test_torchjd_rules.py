import copy
import importlib
import importlib.util
import math

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.engines import SupervisedTrainer
from torch import nn

from shared import update_rules
from shared.bundle.configuration import check_strategy
from shared.bundle.settings import SETTINGS
from shared.errors import InputError
from shared.handlers import GradPromHandler
from shared.packaging.build import REPOSITORY
from shared.packaging.documents import extras
from tests.handlers.reference import System, batches
from tests.test_update_rules import aligned, flat, random_gradients

torchjd = pytest.importorskip("torchjd.aggregation")

from shared.torchjd_rules import NAMED, JacobianRule, NonNegativeProjector  # noqa: E402

NAMES = [
    pytest.param(name, marks=pytest.mark.skipif(not importlib.util.find_spec("cvxpy"), reason="cvxpy"))
    if name == "cagrad" else name for name in NAMED
]
DETERMINISTIC = ["upgrad", "dualproj", "aligned_mtl", "mgda", "imtl_g"]


def combine(rule, rows, weights=None) -> torch.Tensor:
    return flat(rule(rows[0], rows[1:], weights or [1.0] * (len(rows) - 1)).gradients)


def lists(matrix: torch.Tensor) -> list[list[torch.Tensor]]:
    return [[row[:6].reshape(3, 2), row[6:]] for row in matrix]


def conflicting(seed: int, rows: int = 3) -> torch.Tensor:
    """Random rows of unit scale, [rows, 9]; each points against the first one."""
    matrix = torch.randn(rows, 9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    matrix[1:] -= (1.3 * matrix[1:] @ matrix[0] / matrix[0].square().sum()).clamp(min=0)[:, None] * matrix[0]
    matrix[1:] -= 0.2 * matrix[0]
    return matrix / matrix.norm()


def test_names_are_strategies_and_all_of_them_are_listed():
    assert set(NAMED) == set(update_rules.TORCHJD)
    for name in NAMED:
        SETTINGS["strategy"].check("strategy", name)


@pytest.mark.parametrize("name", NAMES)
def test_equals_torchjds_own_aggregator_on_the_matrix(name):
    """TorchJD's aggregators see rows of unit scale: on these their absolute epsilons change nothing."""
    for seed in range(5):
        rule = update_rules.get(name)
        aggregator = copy.deepcopy(rule.aggregator)
        weights = torch.tensor([1.0, 0.7, 2.0], dtype=torch.float64)
        for step in range(3):
            matrix = conflicting(10 * seed + step)
            rows = weights[:, None] * matrix
            torch.manual_seed(int(_seed_of_call(rule)))
            expected = aggregator(rows / rows.norm()) * rows.norm() * (3 if rule.sum_rows else 1)
            found = combine(rule, lists(matrix), weights[1:].tolist())
            torch.testing.assert_close(found, expected, rtol=1e-6 if name == "cagrad" else 1e-9, atol=1e-10)


def _seed_of_call(rule) -> int:
    return np.random.SeedSequence([rule.seed, rule.calls]).generate_state(1)[0]


def test_pcgrad_of_two_rows_is_the_papers_formula():
    """Algorithm 1 of PCGrad: each gradient loses its projection on the other one."""
    for sign in (1, -1):
        main, auxiliary = aligned(sign)
        g, a = flat(main), 0.3 * flat(auxiliary)
        if g @ a < 0:
            expected = (g - (g @ a) / (a @ a) * a) + (a - (a @ g) / (g @ g) * g)
        else:
            expected = g + a
        update = update_rules.get("pcgrad")(main, [auxiliary], [0.3])
        torch.testing.assert_close(flat(update.gradients), expected, rtol=1e-12, atol=1e-12)
        assert update.cosines == pytest.approx([float(g @ a / g.norm() / a.norm())])
        assert (update.main_norm, update.norms) == (pytest.approx(g.norm()), [pytest.approx(a.norm() / 0.3)])


def test_pcgrad_of_three_rows_visits_the_others_in_some_order():
    matrix = conflicting(1)

    def project(i: int, order) -> torch.Tensor:
        g = matrix[i].clone()
        for j in order:
            g -= torch.clamp(g @ matrix[j], max=0) / matrix[j].square().sum() * matrix[j]
        return g

    choices = [[project(i, o) for o in (others, others[::-1])] for i, others in enumerate([[1, 2], [0, 2], [0, 1]])]
    possible = torch.stack([a + b + c for a in choices[0] for b in choices[1] for c in choices[2]])
    rule, seen = update_rules.get("pcgrad"), set()
    for _ in range(40):
        distances = (possible - combine(rule, lists(matrix))).norm(dim=1)
        assert distances.min() < 1e-12
        seen.add(int(distances.argmin()))
    assert len(seen) > 1


def test_upgrad_of_two_conflicting_rows_is_the_sum_of_projections():
    """With two rows the dual cone is bounded by the two planes orthogonal to them."""
    g, a = conflicting(2, rows=2)
    expected = (g - (g @ a) / (a @ a) * a) + (a - (a @ g) / (g @ g) * g)
    torch.testing.assert_close(combine(update_rules.get("upgrad"), lists(torch.stack([g, a]))), expected)


@pytest.mark.parametrize("name", ["pcgrad", "upgrad", "dualproj", "gradvac"])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_without_conflict_the_rule_is_joint(name, count, scale):
    for seed in range(5):
        matrix = torch.rand(count + 1, 9, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        matrix[1:] *= scale
        rows, weights = lists(matrix), [1e-4, 3.0][:count]
        expected = update_rules.Sum()(rows[0], rows[1:], weights).gradients
        torch.testing.assert_close(combine(update_rules.get(name), rows, weights), flat(expected), rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", ["pcgrad", "upgrad", "dualproj", "gradvac"])
def test_a_conflict_is_resolved_however_small_the_weight_is(name):
    """As the documentation says: with lambda to 0 the update tends to G_IP's part orthogonal to G_VR."""
    g, a = conflicting(2, rows=2)
    update = combine(update_rules.get(name), lists(torch.stack([g, a])), [1e-8])
    torch.testing.assert_close(update, g - (g @ a) / (a @ a) * a, rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", ["aligned_mtl", "config"])
def test_orthogonal_rows_of_one_norm_are_added(name):
    rows, _ = torch.linalg.qr(torch.randn(9, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    rows = 0.01 * rows.T
    torch.testing.assert_close(combine(update_rules.get(name), lists(rows)), rows.sum(0), rtol=1e-9, atol=1e-12)


def test_graddrop_adds_where_all_signs_agree():
    matrix = torch.rand(3, 9, dtype=torch.float64) * torch.tensor([1, -1] * 4 + [1])
    torch.testing.assert_close(combine(update_rules.get("graddrop"), lists(matrix)), matrix.sum(0))


def test_mgda_finds_the_shortest_convex_combination():
    g, a = conflicting(3, rows=2)
    t = torch.linspace(0, 1, 100_001, dtype=torch.float64)[:, None]
    shortest = ((1 - t) * g + t * a).norm(dim=1).min()
    found = combine(update_rules.get("mgda"), lists(torch.stack([g, a]))).norm()
    assert float(found) == pytest.approx(float(shortest), rel=1e-6)


def test_imtl_g_has_equal_projections_on_all_rows():
    matrix = conflicting(4)
    projections = matrix @ combine(update_rules.get("imtl_g"), lists(matrix)) / matrix.norm(dim=1)
    torch.testing.assert_close(projections, projections[0].expand(3), rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", ["upgrad", "dualproj", "mgda", "imtl_g", "config"])
@pytest.mark.parametrize("weight", [1e-6, 1e-4, 1.0, 1e4])
def test_works_against_no_row(name, weight):
    """TorchJD's own projector fails here at weight 1e-6: what it adds to the Gramian hides the row."""
    for seed in range(10):
        matrix = conflicting(seed)
        update = combine(update_rules.get(name), lists(matrix), [weight, weight])
        assert (matrix @ update / matrix.norm(dim=1) / update.norm()).min() > -1e-7


def test_torchjds_own_projector_would_fail_that():
    matrix = conflicting(0)
    rule = JacobianRule(torchjd.UPGrad(projector=_Regularised()), sum_rows=True, unit_scale=True)
    update = combine(rule, lists(matrix), [1e-6, 1e-6])
    assert (matrix @ update / matrix.norm(dim=1) / update.norm()).min() < -0.01


class _Regularised(NonNegativeProjector):
    """The diagonal term of TorchJD's projector, whose solver is not among our requirements."""

    def __call__(self, U, G):  # noqa: N803
        return super().__call__(U, G + 1e-4 * torch.eye(len(G), dtype=G.dtype))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1e9])
def test_common_scale_of_the_losses_only_scales_the_update(name, scale):
    matrix = conflicting(5)
    expected = scale * combine(update_rules.get(name), lists(matrix))
    found = combine(update_rules.get(name), lists(scale * matrix))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9 * scale)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_permuting_tasks_changes_nothing_but_the_order_of_decisions(name):
    rows, rule = lists(conflicting(6, 4)), update_rules.get(name)
    forward = rule(rows[0], rows[1:], [0.5, 1.0, 2.0])
    backward = rule(rows[0], rows[:0:-1], [2.0, 1.0, 0.5])
    torch.testing.assert_close(flat(forward.gradients), flat(backward.gradients), rtol=1e-7, atol=1e-9)
    assert forward.accepted == backward.accepted[::-1]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_row_that_says_nothing_is_left_out(name, value):
    main, auxiliary, other = random_gradients(1), random_gradients(2), random_gradients(3)
    auxiliary = [value * g for g in auxiliary]
    update = update_rules.get(name)(main, [auxiliary], [1.0])
    assert all(torch.equal(a, b) for a, b in zip(update.gradients, main, strict=True))
    assert update.accepted == [False]
    assert update.cosines == [0.0] if value == 0 else math.isnan(update.cosines[0])
    beside = update_rules.get(name)(main, [auxiliary, other], [1.0, 2.0])
    alone = update_rules.get(name)(main, [other], [2.0])
    assert torch.equal(flat(beside.gradients), flat(alone.gradients))
    assert beside.accepted == [False, *alone.accepted]


@pytest.mark.parametrize("name", NAMES)
def test_weight_zero_leaves_the_main_gradient(name):
    main = random_gradients(1)
    assert torch.equal(combine(update_rules.get(name), [main, random_gradients(2)], [0.0]), flat(main))


@pytest.mark.parametrize("name", NAMES)
def test_main_gradient_that_is_not_finite_stays_visible(name):
    main = random_gradients(1)
    main[0][0, 0] = math.inf
    update = update_rules.get(name)(main, [random_gradients(2)], [1.0])
    assert not math.isfinite(update.main_norm)
    assert not torch.isfinite(flat(update.gradients)).all()


@pytest.mark.parametrize("name", NAMES)
def test_keeps_inputs_shapes_types_and_the_global_random_state(name):
    main, auxiliary = random_gradients(1, dtype=torch.float32), random_gradients(2, dtype=torch.float32)
    before, state = (flat(main), flat(auxiliary)), torch.get_rng_state()
    update = update_rules.get(name)(main, [auxiliary, random_gradients(3, dtype=torch.float32)], [0.1, 1.0])
    assert [(g.shape, g.dtype) for g in update.gradients] == [(g.shape, g.dtype) for g in main]
    assert torch.equal(flat(main), before[0])
    assert torch.equal(flat(auxiliary), before[1])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["pcgrad", "graddrop"])
def test_chance_depends_on_seed_and_call(name):
    def run(seed: int) -> torch.Tensor:
        rule = update_rules.get(name)
        rule.seed = seed
        return torch.stack([combine(rule, lists(conflicting(7, 4))) for _ in range(6)])

    first = run(0)
    torch.manual_seed(99)
    assert torch.equal(run(0), first)
    assert not torch.equal(run(1), first)
    assert not torch.equal(first[0].expand_as(first), first)


@pytest.mark.parametrize("name", ["gradvac", "pcgrad"])
def test_restored_rule_goes_on_as_if_it_had_never_stopped(name, tmp_path):
    rule = update_rules.get(name)
    for seed in range(3):
        combine(rule, lists(conflicting(seed)))
    torch.save(rule.state_dict(), tmp_path / "state.pt")
    expected = [combine(rule, lists(conflicting(seed))) for seed in (3, 4)]
    restored, fresh = update_rules.get(name), update_rules.get(name)
    restored.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(combine(restored, lists(conflicting(3))), expected[0])
    assert torch.equal(combine(restored, lists(conflicting(4))), expected[1])
    assert not torch.equal(combine(fresh, lists(conflicting(3))), expected[0])


@pytest.mark.parametrize("name", ["gradvac", "pcgrad", "upgrad", "config"])
def test_handler_trains_and_resumes_with_it(name):
    data, kinds = batches(8), ("class", "mask")
    whole, interrupted = System(kinds=kinds), System(kinds=kinds)
    _, handler = whole.train(data, name)
    assert handler.statistics.totals["mask"]["steps"] == 8
    before = System(kinds=kinds)
    before.train(data, "joint")
    assert not torch.equal(whole.weights(), before.weights())
    _, first = interrupted.train(data[:4], name)
    second = _continue(interrupted, data[4:], name, first)
    assert torch.equal(interrupted.weights(), whole.weights())
    assert second.statistics.totals == handler.statistics.totals


def _continue(system: System, data, name, handler):
    second = GradPromHandler(system.tasks, name)
    second.load_state_dict(copy.deepcopy(handler.state_dict()))
    trainer = SupervisedTrainer(
        device="cpu", max_epochs=1, train_data_loader=data, network=system.network, optimizer=system.optimizer,
        loss_function=nn.MSELoss(), decollate=False, train_handlers=[second],
    )
    trainer.run()
    return second


def test_without_torchjd_one_error_says_what_to_install(monkeypatch):
    def without(name: str) -> None:
        raise ModuleNotFoundError("No module named 'torchjd'")

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(InputError, match=r"'pcgrad': No module named 'torchjd'; .* pip install 'torchjd\[cagrad\]=="):
        update_rules.get("pcgrad")
    # Before anything is trained.
    with pytest.raises(InputError, match="'pcgrad': No module named 'torchjd'"):
        check_strategy(ConfigParser({"strategy": "pcgrad"}))
    assert type(update_rules.get("joint")) is update_rules.Sum


def test_what_to_install_is_the_extra():
    """A package of a bundle has no pyproject.toml, so the error names what the extra stands for."""
    assert extras(REPOSITORY / "pyproject.toml")["torchjd"] == update_rules.TORCHJD_PACKAGE


def test_solver_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(torchjd._cagrad.CAGradWeighting, "_REQUIRED_DEPS", ["no_such_solver"])
    with pytest.raises(InputError, match=r"'cagrad': .*no_such_solver.* pip install 'torchjd\[cagrad\]=="):
        update_rules.get("cagrad")


def test_refuses_what_is_no_aggregator_and_what_cannot_be_saved():
    with pytest.raises(ValueError, match="aggregator: expected one of torchjd.aggregation, found str"):
        JacobianRule("pcgrad")
    with pytest.raises(ValueError, match="seed: expected a whole number >= 0, found -1"):
        JacobianRule(torchjd.PCGrad(), seed=-1)

    class Remembers(torchjd.GradVac):
        def __init__(self) -> None:
            super().__init__()
            self.seen = []

    with pytest.raises(ValueError, match="aggregator: Remembers keeps 'seen' between calls"):
        JacobianRule(Remembers())


def test_users_own_aggregator_keeps_its_scale():
    rows = lists(conflicting(8))
    mean = combine(JacobianRule(torchjd.Mean()), rows)
    torch.testing.assert_close(mean, conflicting(8).mean(0))
    torch.testing.assert_close(combine(JacobianRule(torchjd.Mean(), sum_rows=True), rows), conflicting(8).sum(0))
    assert repr(JacobianRule(torchjd.Mean())) == "JacobianRule(Mean())"
