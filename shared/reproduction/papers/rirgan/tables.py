"""The tables of the RIRGAN paper (Yu et al. 2023) and one of our own, as runs of bundles.

Rows and columns are called as in ``numbers.json``, which holds the paper's numbers.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path

from shared.reproduction.description import Cell, Run, Table
from shared.reproduction.papers.rirgan.runs import (
    ABLATION,
    DNCNN,
    LONGER,
    RDN,
    RIRGAN,
    SALT_AND_PEPPER,
    SRGAN,
    SRRESNET,
    STRATEGIES,
    STRATEGY_WEIGHT,
    TAIL,
    TEST_SIGMA,
    blocks,
    evaluated,
    on_mni152,
    super_resolution,
    without_noise,
)
from shared.reproduction.printed import read_printed

NUMBERS = read_printed(Path(__file__).with_name("numbers.json"))
FIGURES = ("", "_variance", "_std", "_minimum", "_maximum", "_range")
QUALITY = {name: tuple(f"{name.lower()}{figure}" for figure in FIGURES) for name in ("PSNR", "SSIM")}
"""Column of tables 2 and 3 to what it shows."""
LEVELS = (0.0, 0.02, TEST_SIGMA, 0.1)

_LOSS = (
    "RIRGAN's losses are sums over an image with the paper's weights; no discriminator plays in the first "
    "tenth of 200k updates. "
    "Without --vgg19_weights nothing has a perceptual loss: of SRResNet's and SRGAN's the mean squared error is left."
)
_NOISE = "σ of the Gaussian noise, which the paper does not state: in training 0 to 0.1, in testing 0.05."
_BASELINES = "SRResNet and SRGAN: 16 blocks with batch norm; RDN: 8 blocks, absolute error alone."
_STABILITY = (
    "Variance and standard deviation are those of a population, over the test images. The paper's are 175 slices, "
    "chosen at random."
)


def tables() -> tuple[Table, ...]:
    """Return all tables, those of the paper first."""
    return (_table1(), _table2(), _table3(), _table4(), _table5(), _table6(), _table7(), _table8(), _mni152())


def _printed(name: str, title: str, cells: Iterable[Cell], *notes: str) -> Table:
    return Table(name, title, tuple(cells), NUMBERS[name], notes=notes)


def _table1() -> Table:
    note = (
        "Counted here, for images of three channels and ×4: RIRGAN 3,317,806; SRGAN 1,547,350 with 16 blocks and "
        "955,470 with 8; RDN 11,321,987 with 8 blocks. Nothing is run."
    )
    return _printed("table1", "Parameters of networks for super-resolution", (), note)


def _stable(methods: Mapping[str, tuple[Run, str]], against: Mapping[str, tuple[str, ...]]) -> list[Cell]:
    """Return cells of tables 2 and 3, from run and version by row, and the rows that a row is tested against."""
    return [
        Cell(row, column, run, version, metrics, compare_with=against.get(row, ()))
        for column, metrics in QUALITY.items()
        for row, (run, version) in methods.items()
    ]


def _table2() -> Table:
    runs = {"SRResNet": SRRESNET, "SRGAN": SRGAN, "RDN": RDN, "RIRGAN": RIRGAN}
    methods = {"Bicubic": (RIRGAN, "degraded"), **{row: (run, "enhanced") for row, run in runs.items()}}
    cells = _stable(methods, {"RIRGAN": ("Bicubic", "SRResNet", "SRGAN", "RDN")})
    title = "Super-resolution ×4 and denoising on BraTS, and how much it varies over the images"
    return _printed("table2", title, cells, _NOISE, _LOSS, _BASELINES, _STABILITY)


def _table3() -> Table:
    first, *others = ABLATION
    cells = _stable({row: (run, "enhanced") for row, run in ABLATION.items()}, dict.fromkeys(others, (first,)))
    note = "RaD + hybrid is missing in the paper. Rows without RIR-G have SRGAN's generator with 8 blocks."
    return _printed("table3", "What each part contributes: RIR-G, RaD, hybrid loss", cells, note, _NOISE, _LOSS)


def _table4() -> Table:
    alone = super_resolution(8)
    runs = {
        "SR-only": alone,
        "SR-test1": alone.evaluated(test_sigma=TEST_SIGMA),
        "SR-test2": RIRGAN.evaluated(test_sigma=0.0),
        "MTL": RIRGAN,
    }
    note = (
        "SR-only: trained and tested on LR; SR-test1: trained on LR, tested on LR + noise; SR-test2: trained on "
        "LR + noise, tested on LR; MTL: both with noise. The paper gives no numbers; SR-only has no total variation, "
        "as in table 8."
    )
    cells = [Cell(row, "×4", run) for row, run in runs.items()]
    return _printed("table4", "Trained and tested with noise or without", cells, note, _NOISE, _LOSS)


def _table5() -> Table:
    first, later = NUMBERS["table5"].columns
    runs = {
        ("Gaussian", first): RIRGAN,
        ("speckle", first): RIRGAN.evaluated("speckle.json"),
        ("local variance", first): RIRGAN.evaluated("local_variance.json"),
    }
    for column, run in ((first, SALT_AND_PEPPER), (later, LONGER)):
        runs["salt & pepper", column] = run
        runs["salt", column] = run.evaluated("salt.json")
        runs["pepper", column] = run.evaluated("pepper.json")
    note = (
        "Speckle and local variance are tests of the run that learned Gaussian noise, salt and pepper of one that "
        "learned both. Local variance is scikit-image's default, which equals its Gaussian noise. 5 % of the pixels "
        "become salt or pepper."
    )
    cells = [Cell(row, column, run) for (row, column), run in runs.items()]
    return _printed("table5", "Kinds of noise", cells, note, _NOISE, _LOSS)


def _table6() -> Table:
    """SR methods learn from and are tested on LR without noise, all others with noise."""
    clean = {name: without_noise(run) for name, run in (("SRResNet", SRRESNET), ("SRGAN", SRGAN), ("RDN", RDN))}
    of_report = {"median filter": "median", "NLM": "non_local_means"}
    if importlib.util.find_spec("bm3d") is not None:
        of_report["BM3D"] = "bm3d"
    cells = [
        Cell("Bicubic (LR)", "×4", clean["RDN"], "degraded"),
        *(Cell(f"{name} (LR)", "×4", run) for name, run in clean.items()),
        *(Cell(f"{name} (LR + noise)", "×4", RIRGAN, version) for name, version in of_report.items()),
        Cell("DnCNN (LR + noise)", "×4", DNCNN),
    ]
    ours = Cell("RIRGAN (LR + noise)", "×4", RIRGAN, compare_with=tuple(cell.row for cell in cells))
    notes = (
        "The mean opinion score (MOS) is what 15 people thought of 20 images: it cannot be measured again.",
        "Denoisers work on the small image, which bicubic interpolation enlarges. DnCNN learns through the "
        "interpolation, from the squared error. BM3D is measured where the package bm3d is installed.",
    )
    return _printed("table6", "Beside methods for one task alone", [*cells, ours], *notes, _NOISE, _LOSS, _BASELINES)


def _table7() -> Table:
    runs = {f"N = {number}": blocks(number) for number in (8, 10)}
    cells = [Cell(row, "LR + noise", run) for row, run in runs.items()]
    note = "Parameters counted here: 3,317,806 and 4,056,376."
    return _printed("table7", "Number of RIR blocks, super-resolution and denoising", cells, note, _NOISE, _LOSS)


def _table8() -> Table:
    cells = [Cell(f"N = {number}", "LR", super_resolution(number)) for number in (2, 4, 8, 16, 32)]
    note = "Parameters counted here: 1,102,096; 1,840,666; 3,317,806; 6,272,086; 12,180,646. No total variation."
    return _printed("table8", "Number of RIR blocks, super-resolution alone", cells, note, _LOSS)


def _mni152() -> Table:
    """One model for all strengths of noise, with a discriminator, with recognition, and for ×2; not in the paper."""
    metrics = ("psnr", "ssim", "psnr_region", "ssim_region")
    runs = {
        "pixel loss": on_mni152(),
        "pixel loss, then adversarial": on_mni152(adversarial_epochs=TAIL),
        **{f"{strategy} λ = {STRATEGY_WEIGHT:g}": on_mni152(strategy) for strategy in STRATEGIES},
    }
    cells = []
    for level in LEVELS:
        column, plain = f"×4, σ = {level:g}", evaluated(runs["pixel loss"], level)
        cells += _classical(column, plain, metrics)
        cells += [_learned(row, column, evaluated(run, level), metrics) for row, run in runs.items()]
    column, plain = f"×2, σ = {TEST_SIGMA:g}", on_mni152(scale=2)
    cells += _classical(column, plain, metrics)
    cells += [
        _learned("pixel loss", column, plain, metrics),
        _learned("pixel loss, then adversarial", column, on_mni152(adversarial_epochs=TAIL, scale=2), metrics),
    ]
    notes = (
        "One brain template, mirror-symmetric; training and test slices come from the same brain, so there are effect "
        "sizes and no p-values.",
        "Each network learned from noise of σ = 0 to 0.1 and is tested at every level. Strategies are at work from the "
        "first step.",
        "region: T1 above a fifth of its maximum. mean IoU: grey matter, white matter, background, by a network that "
        "looks at the enlarged image.",
    )
    title = "One network for several strengths of noise on slices of the MNI152 template"
    return Table("mni152", title, tuple(cells), significance=False, notes=notes)


def _classical(column: str, run: Run, metrics: tuple[str, ...]) -> list[Cell]:
    versions = {"NLM, then bicubic": "non_local_means", "bicubic, then NLM": "bicubic_non_local_means"}
    return [
        Cell("bicubic", column, run, "degraded", (*metrics, "mean_iou"), "segmentation"),
        *(Cell(row, column, run, version, metrics) for row, version in versions.items()),
    ]


def _learned(row: str, column: str, run: Run, metrics: tuple[str, ...]) -> Cell:
    rivals = ("bicubic", "bicubic, then NLM") if row == "pixel loss" else ("pixel loss",)
    return Cell(row, column, run, metrics=(*metrics, "mean_iou"), task="segmentation", compare_with=rivals)
