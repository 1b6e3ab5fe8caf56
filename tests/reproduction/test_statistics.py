"""The comparison finds what is there, stays quiet where nothing is, and is not fooled by images of one patient."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import rankdata, wilcoxon

from shared.errors import InputError
from shared.reproduction.description import Cell
from shared.reproduction.results import CellResult
from shared.reproduction.statistics import (
    Comparison,
    adjusted,
    bootstrap_interval,
    compare,
    holm,
    rank_biserial,
    signed_rank_p_value,
)

from .run_folders import a_run

TREATMENT = Cell("GradProm", "σ = 0.1", a_run())
CONTROL = Cell("none", "σ = 0.1", a_run("none"))


def results(cell: Cell, values: np.ndarray, groups: list[str], seeds: tuple[int, ...] = (0,)) -> CellResult:
    """Results with the PSNR values [N, S] of N images."""
    names = [f"image {index}" for index in range(len(values))]
    per_image = {"psnr": {name: tuple(map(float, line)) for name, line in zip(names, values, strict=True)}}
    nothing = ("",) * len(seeds)
    return CellResult(
        cell, seeds, per_image, dict(zip(names, groups, strict=True)), {}, False, nothing, nothing, ())


def simulate(
    random: np.random.Generator, effect: float, patients: int = 20, images: int = 5, spread: float = 1.0
) -> tuple[CellResult, CellResult]:
    """Two cells: every patient has an own effect around the true one, every image, run and seed its noise."""
    groups = [f"patient {index // images}" for index in range(patients * images)]
    level = random.normal(25, 3, (len(groups), 1))
    own = np.repeat(random.normal(effect, spread, patients), images)[:, None]
    noise = random.normal(0, 0.2, (2, len(groups), 2))
    return (
        results(TREATMENT, level + own + noise[0], groups, (0, 1)),
        results(CONTROL, level + noise[1], groups, (0, 1)),
    )


def test_comparison_against_plain_loops() -> None:
    random = np.random.default_rng(0)
    groups = ["a"] * 3 + ["b"] * 5 + ["c", "d", "e", "f", "g"] * 2
    values = [random.normal(25, 2, (len(groups), 3)) for _ in range(2)]
    # Other seeds in another order: only what both have counts.
    ours, other = results(TREATMENT, values[0], groups, (2, 0, 7)), results(CONTROL, values[1], groups, (0, 2, 5))
    found = compare(ours, other, "psnr")

    by_group: dict[str, list[list[float]]] = {}
    for index, group in enumerate(groups):
        pairs = ((values[0][index, 1], values[1][index, 0]), (values[0][index, 0], values[1][index, 1]))
        by_group.setdefault(group, []).append([a - b for a, b in pairs])
    means = [float(np.mean(differences)) for differences in by_group.values()]
    assert found.difference == pytest.approx(np.mean(means), abs=1e-8)
    assert found.difference != pytest.approx(np.mean(values[0][:, :2] - values[1][:, :2]), abs=1e-3)
    assert sorted(found.by_seed) == pytest.approx(sorted(np.mean([np.mean(d, axis=0) for d in by_group.values()], 0)))
    assert (found.groups, found.images) == (7, 18)
    assert (found.better, found.worse) == (sum(m > 0 for m in means), sum(m < 0 for m in means))
    assert found.p_value == pytest.approx(wilcoxon(means).pvalue)
    assert found.interval is not None
    assert found.interval[0] < found.difference < found.interval[1]


def test_comparison_is_deterministic_and_antisymmetric() -> None:
    ours, other = simulate(np.random.default_rng(1), 0.4)
    found = compare(ours, other, "psnr")
    assert compare(ours, other, "psnr") == found
    assert compare(ours, other, "psnr", seed=1).interval != found.interval
    back = compare(other, ours, "psnr")
    assert back.difference == pytest.approx(-found.difference)
    assert back.p_value == pytest.approx(found.p_value)
    assert back.effect == pytest.approx(-found.effect)
    assert (back.better, back.worse) == (found.worse, found.better)
    alone = compare(ours, other, "psnr", significance=False)
    assert (alone.p_value, alone.interval) == (None, None)
    assert (alone.difference, alone.effect) == (found.difference, found.effect)


def exact_p_value(differences: np.ndarray) -> float:
    """The signed-rank test by its definition: all assignments of signs to the ranks of what is not zero."""
    changed = differences[differences != 0]
    ranks = rankdata(np.abs(changed))
    seen = abs((ranks * np.sign(changed)).sum())
    sums = [abs(np.dot(ranks, signs)) for signs in itertools.product((-1, 1), repeat=len(ranks))]
    return float(np.mean([value >= seen - 1e-9 for value in sums]))


@pytest.mark.parametrize(
    "differences",
    [
        [0.3, -0.1, 0.7, 0.2, 0.9, 0.4],
        [1, 1, 1, -1, 1, 1, 1, -1, 1],
        [0, 0, 0, 1, 2, -1, 3, 0, 5, 1],
        # Pratt's treatment of zeros gives 0.014 instead of 0.031 here, from a normal approximation.
        [0] * 60 + [1 / 3, 1 / 3, 2 / 3, 1, 1 / 3, 2 / 3],
        [0] * 100 + [1],
    ],
    ids=["plain", "ties", "zeros and ties", "six of many", "one of many"],
)
def test_p_value_is_exact_with_ties_and_zeros(differences: list[float]) -> None:
    values = np.array(differences, dtype=float)
    assert signed_rank_p_value(values) == pytest.approx(exact_p_value(values), abs=1e-12)


def test_edges() -> None:
    assert signed_rank_p_value(np.zeros(10)) == 1.0
    assert signed_rank_p_value(np.ones(5)) is None
    assert signed_rank_p_value(np.ones(6)) == pytest.approx(2 / 2**6)
    assert bootstrap_interval(np.array([0.3])) is None
    assert bootstrap_interval(np.full(8, 0.25)) == (0.25, 0.25)
    assert rank_biserial(np.zeros(3)) == 0
    assert rank_biserial(np.array([0.1, 3.0, 0.0])) == 1
    assert rank_biserial(np.array([-1.0, 2.0, -3.0])) == pytest.approx((2 - 1 - 3) / 6)


def test_no_p_value_with_fewer_than_six_groups() -> None:
    for patients in (1, 5, 6):
        found = compare(*simulate(np.random.default_rng(2), 5.0, patients=patients), "psnr")
        assert (found.p_value is None) == (patients < 6)
        assert (found.interval is None) == (patients == 1)
        assert found.groups == patients
        assert found.difference == pytest.approx(5, abs=2)


def test_rounding_does_not_break_ties() -> None:
    # 0.1 + 0.2 - 0.3 is not zero in floating point; six digits of a file must not become ranks.
    groups = [str(index) for index in range(8)]
    ours = results(TREATMENT, np.array([[0.3, 0.3, 0.3]] * 8), groups, (0, 1, 2))
    other = results(CONTROL, np.array([[0.1, 0.2, 0.6]] * 8), groups, (0, 1, 2))
    found = compare(ours, other, "psnr")
    assert found.difference == 0
    assert (found.better, found.worse, found.p_value) == (0, 0, 1.0)


def test_what_cannot_be_compared() -> None:
    ours, other = simulate(np.random.default_rng(3), 0.0)
    with pytest.raises(InputError, match="'GradProm', 'σ = 0.1': found no accuracy per image"):
        compare(ours, other, "accuracy")
    with pytest.raises(InputError, match="expected the same test set"):
        compare(ours, replace(other, groups={**other.groups, "image 0": "patient 9"}), "psnr")
    fewer = {name: values for name, values in other.per_image["psnr"].items() if name != "image 3"}
    with pytest.raises(InputError, match="expected the same test set"):
        compare(ours, replace(other, per_image={"psnr": fewer}), "psnr")
    assert compare(ours, replace(other, seeds=(8, 9)), "psnr").note == "no seed in common"
    infinite = {**other.per_image["psnr"], "image 0": (math.inf, math.inf)}
    found = compare(ours, replace(other, per_image={"psnr": infinite}), "psnr")
    assert found.note == "infinite values"
    assert found.p_value is None


def naive_holm(p_values: list[float], alpha: float) -> list[bool]:
    """Step down by the book: reject the smallest while it is below alpha / (number left)."""
    rejected = [False] * len(p_values)
    for left, index in zip(range(len(p_values), 0, -1), np.argsort(p_values, kind="stable"), strict=True):
        if p_values[index] > alpha / left:
            break
        rejected[index] = True
    return rejected


def test_holm_by_hand_and_against_the_procedure() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []
    random = np.random.default_rng(0)
    for size in (1, 2, 5, 12):
        for _ in range(20):
            p_values = list(random.uniform(0, 0.1, size).round(3))
            for alpha in (0.01, 0.0501):
                assert [value <= alpha for value in holm(p_values)] == naive_holm(p_values, alpha)


def test_holm_counts_each_metric_by_itself_and_skips_what_has_no_p_value() -> None:
    def comparison(metric: str, p_value: float | None) -> Comparison:
        return Comparison(TREATMENT, CONTROL, metric, p_value=p_value)

    given = [comparison(*pair) for pair in (("psnr", 0.02), ("ssim", 0.04), ("psnr", None), ("psnr", 0.01))]
    assert [one.p_adjusted for one in adjusted(given)] == [0.02, 0.04, None, 0.02]


def test_known_effect_is_found_and_covered() -> None:
    random = np.random.default_rng(4)
    found = [compare(*simulate(random, 1.0, patients=30), "psnr", significance=False).difference for _ in range(50)]
    assert np.mean(found) == pytest.approx(1, abs=0.1)
    detected, covered, repetitions = 0, 0, 300
    for _ in range(repetitions):
        differences = random.normal(1.0, 1.0, 30)
        p_value, interval = signed_rank_p_value(differences), bootstrap_interval(differences, resamples=999)
        assert p_value is not None
        assert interval is not None
        detected += p_value < 0.05
        covered += interval[0] <= 1.0 <= interval[1]
    assert detected / repetitions > 0.98
    # Three standard errors around the nominal 95 %, and the little that 30 groups fall short of it.
    assert 0.90 <= covered / repetitions <= 0.985


def test_no_effect_is_rarely_found_and_patients_count_once() -> None:
    random = np.random.default_rng(5)
    repetitions, by_patient, by_image = 400, 0, 0
    for _ in range(repetitions):
        ours, other = simulate(random, 0.0, patients=12, images=5)
        p_value = compare(ours, other, "psnr", resamples=99).p_value
        assert p_value is not None
        by_patient += p_value < 0.05
        pairs = [(values, other.per_image["psnr"][name]) for name, values in ours.per_image["psnr"].items()]
        images = [float(np.subtract(*pair).mean()) for pair in pairs]
        by_image += wilcoxon(images, method="asymptotic").pvalue < 0.05
    # 5 % with a standard error of 1.1 %.
    assert 0.015 <= by_patient / repetitions <= 0.085
    # A test that takes images for independent finds an effect that is not there in a third of all studies or more.
    assert by_image / repetitions > 0.25


def test_holm_holds_the_family_wise_rate() -> None:
    random = np.random.default_rng(6)
    repetitions, family, corrected, plain = 300, 4, 0, 0
    for _ in range(repetitions):
        # Four strategies against one control: the comparisons share its noise.
        control = random.normal(0, 1, 12)
        p_values = [signed_rank_p_value(random.normal(0, 1, 12) - control) for _ in range(family)]
        given = [Comparison(TREATMENT, CONTROL, "psnr", p_value=p_value) for p_value in p_values]
        corrected += any(one.p_adjusted is not None and one.p_adjusted < 0.05 for one in adjusted(given))
        plain += any(p_value is not None and p_value < 0.05 for p_value in p_values)
    assert corrected / repetitions <= 0.08
    assert plain / repetitions > 0.1
