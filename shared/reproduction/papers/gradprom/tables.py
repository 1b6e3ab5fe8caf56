"""The tables of the GradProm paper (arXiv 2501.01114) and one of our own, as runs of bundles.

Rows and columns are called as in ``numbers.json``, which holds the paper's numbers. Runs that two tables have in common
are the same run and made once, and so is the training of recognition networks on clean images (the paper's stage (a)).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.reproduction.description import Cell, Run, Stage, Table
from shared.reproduction.printed import read_printed
from shared.reproduction.profiles import Profile

NUMBERS = read_printed(Path(__file__).with_name("numbers.json"))
RECOGNITION = Stage(
    "recognition",
    run_id="pretraining",
    trainer="$@pretrain.trainer",
    overrides={"strategy": "none"},
    # Recognition networks look at clean images then.
    ignores=frozenset(
        ["strategy", "weight", "supervised", "sigma", "warmup", "max_epochs", "learning_rate", "val_interval"]
    ),
    ignores_overlays=frozenset([
        "challenging.json", "undegraded.json", "speckle.json", "rician.json", "local_variance.json",
        "salt_and_pepper.json", "salt.json", "pepper.json",
    ]),
)
TIMELESS = frozenset(["sigma", "weight", "supervised"])
CPU = Profile(
    "cpu", "the comparison on MNI152 with a small network, an hour or two on 2 CPU cores",
    of_bundle={
        "gradprom_mni152": {
            "profile": "cpu",
            "network_def#num_blocks": 4,
            "network_def#features": 32,
            "max_epochs": 3,
            "val_interval": 3,
            "pretrain_epochs": 8,
        }
    },
)

STRATEGIES = {"joint": "joint", "frozen": "frozen", "GradProm": "gradprom", "GradProm cosine": "gradprom_cosine"}
"""Label in the tables to value of ``strategy``; the last one is lemma 3.1, which the paper's tables do not have."""
SUPERVISION = {"Unsup.": False, "Sup.": True}
NOISE = (0.05, 0.1, 0.2, 0.3)
METRIC = {"diagnosis": "accuracy", "segmentation": "mean_iou"}
ALONE = "recognition_alone.json"
WEIGHTS = (0.0001, 0.01, 1.0)
TORCHJD = ("upgrad", "gradvac", "cagrad")
"""PCGrad is left out: with two gradients it is UPGrad."""

_COSINE = "GradProm cosine is lemma 3.1 with λ as in the other rows; the paper's tables do not have it."
_ESTR = "frozen is ESTR's training: the recognition gradient passes through a frozen VR into IP."


def tables() -> tuple[Table, ...]:
    """Return all tables, those of the paper first."""
    return (_table1(), _table2(), _table3(), _table4(), _table5(), _table6(), _table7(), _table8(), _mni152())


def trained(bundle: str, auxiliary: str, strategy: str, supervised: bool = True, **more: Any) -> Run:
    """Return an enhancement run; one call for all tables, so that equal runs have equal overrides."""
    if strategy == "none":
        # Nothing of the cascade reads labels then: one run serves both halves of a table.
        return _cascade(bundle, auxiliary=auxiliary, strategy=strategy, **more)
    return _cascade(bundle, auxiliary=auxiliary, strategy=strategy, supervised=supervised, **more)


def _cascade(bundle: str, **overrides: Any) -> Run:
    return Run(bundle, overrides, shares=(RECOGNITION,), timeless=TIMELESS)


def _alone(auxiliary: str, sigma: float, *overlays: str) -> Run:
    """Return a run of benchmark ii or iii: recognition networks that see degraded images from the start."""
    overrides, trainers = {"auxiliary": auxiliary, "sigma": sigma}, (RECOGNITION.trainer,)
    return Run("gradprom_isic", overrides, (*overlays, ALONE), "recognition", trainers=trainers, timeless=TIMELESS)


def _printed(name: str, title: str, cells: Iterable[Cell], *notes: str) -> Table:
    return Table(name, title, tuple(cells), NUMBERS[name], notes=notes)


def _noise(sigma: float) -> str:
    return f"σ = {sigma:g}"


def _against(row: str, rows: Iterable[str]) -> tuple[str, ...]:
    return tuple(other for other in rows if other != row)


def _ablation(auxiliary: str, benchmark: str) -> list[Cell]:
    """Cells of tables 1 and 2: noise levels by strategies, without and with labels."""
    cells = []
    for sigma in NOISE:
        column, metrics = _noise(sigma), ("psnr", "ssim", METRIC[auxiliary])
        alone = _alone(auxiliary, sigma)
        cells.append(Cell(benchmark, column, alone, "degraded", (METRIC[auxiliary],), auxiliary))
        plain = trained("gradprom_isic", auxiliary, "none", sigma=sigma)
        cells.append(Cell("Benchmark-i", column, plain, metrics=metrics, task=auxiliary))
        for half, supervised in SUPERVISION.items():
            for label, strategy in STRATEGIES.items():
                run = trained("gradprom_isic", auxiliary, strategy, supervised, sigma=sigma)
                rivals = _against(f"{half} {label}", ("Benchmark-i", f"{half} frozen"))
                cells.append(Cell(f"{half} {label}", column, run, "enhanced", metrics, auxiliary, rivals))
    return cells


def _table1() -> Table:
    cells = _ablation("diagnosis", "Benchmark-ii")
    title = "Denoising on ISIC 2018 with a diagnosis network (ResNet-50)"
    return _printed("table1", title, cells, _COSINE, _ESTR)


def _table2() -> Table:
    cells = _ablation("segmentation", "Benchmark-iii")
    for half, supervised in SUPERVISION.items():
        for sigma in NOISE:
            run = trained("gradprom_isic", "both", "gradprom", supervised, sigma=sigma)
            metrics = ("psnr", "ssim", "mean_iou")
            cells.append(Cell(f"{half} multi-task", _noise(sigma), run, metrics=metrics, task="segmentation"))
    note = "Multi-task rows train and test on the 2017 set, the one with masks and classes for the same images."
    title = "Denoising on ISIC 2018 with a segmentation network (UNet, ResNet-50)"
    return _printed("table2", title, cells, note, _COSINE, _ESTR)


def _table3() -> Table:
    cells, overlay, metrics = [], "challenging.json", ("psnr", "ssim", "mean_iou")
    for half, supervised in SUPERVISION.items():
        alone = _alone("segmentation", 0.3, overlay)
        cells.append(Cell("Benchmark-iii", half, alone, "degraded", ("mean_iou",), "segmentation"))
        for label, strategy in {"Benchmark-i": "none", **STRATEGIES}.items():
            run = trained("gradprom_isic", "segmentation", strategy, supervised, sigma=0.3)
            run = replace(run, overlays=(overlay,))
            rivals = () if strategy == "none" else _against(label, ("Benchmark-i", "frozen"))
            cells.append(Cell(label, half, run, "enhanced", metrics, "segmentation", rivals))
    note = "Neither benchmark depends on the supervision of the cascade: one run stands in both columns."
    title = "ISIC 2018 under Gaussian noise (σ = 0.3), Poisson noise (rate 0.1) and blur (3×3, 2.0)"
    return _printed("table3", title, cells, note, _COSINE)


def _table4() -> Table:
    cells = []
    for half, supervised in SUPERVISION.items():
        runs = {
            label: trained("gradprom_isic", "diagnosis", strategy, supervised, sigma=0.3)
            for label, strategy in (("frozen", "frozen"), ("GradProm", "gradprom"))
        }
        for label, run in runs.items():
            rivals = _against(f"Base {label}", ("Base frozen",))
            cells.append(Cell(f"Base {label}", half, run, compare_with=rivals))
        for label, run in runs.items():
            other = run.evaluated(test_dataset="lizard")
            cells.append(Cell(label, half, other, compare_with=_against(label, ("frozen",))))
    note = "Trained on ISIC 2018; Base rows are tested there, the others on Lizard, whose classes mean other things."
    title = "Domain generalisation: denoising (σ = 0.3) of another data set"
    return _printed("table4", title, cells, note)


def _compared(bundle: str, kinds: dict[str, str], columns: dict[str, dict[str, Any]], estr: str) -> list[Cell]:
    """Cells of tables 5 to 8: plain SR-ResNet, ESTR and GradProm with two depths of VR.

    Args:
        bundle: its name.
        kinds: label ("dia") and name ("diagnosis") of the recognition tasks, that of the paper's ESTR first.
        columns: label and overrides of each column.
        estr: recognition task of the rows without a label of it.
    """
    cells = []
    for column, overrides in columns.items():
        for label, kind in kinds.items():
            # Two tasks are read from different images (patches without a nucleus have no class), which no paired test
            # can compare: the second one has rows of its own to stand against, which the paper does not have.
            suffix = "" if kind == estr else f" {label}"
            plain = f"SR-ResNet{suffix}"
            cells.append(Cell(plain, column, trained(bundle, kind, "none", **overrides), task=kind))
            for depth in (50, 101):
                # ResNet-50 is the bundles' default: the same runs as in tables 1 and 2.
                backbone: dict[str, Any] = {} if depth == 50 else {"backbone": f"resnet{depth}"}
                frozen = f"frozen{suffix} ResNet-{depth}"
                run = trained(bundle, kind, "frozen", **overrides, **backbone)
                cells.append(Cell(frozen, column, run, task=kind, compare_with=(plain,)))
                run = trained(bundle, kind, "gradprom", **overrides, **backbone)
                row = f"GradProm {label} ResNet-{depth}"
                cells.append(Cell(row, column, run, task=kind, compare_with=(plain, frozen)))
    return cells


def _levels() -> dict[str, dict[str, Any]]:
    return {_noise(sigma): {"sigma": sigma} for sigma in NOISE[1:]}


def _table5() -> Table:
    cells = _compared("gradprom_isic", {"dia": "diagnosis", "seg": "segmentation"}, _levels(), "diagnosis")
    note = "Rows with a segmentation network are trained and tested on Task 1, the others on Task 3 of ISIC 2018."
    return _printed("table5", "Denoising on ISIC 2018, beside other methods", cells, note, _ESTR)


def _table6() -> Table:
    cells = _compared("gradprom_covid_ct", {"dia": "diagnosis"}, _levels(), "diagnosis")
    return _printed("table6", "Denoising on COVID-CT, beside other methods", cells, _ESTR)


def _table7() -> Table:
    scales = {f"γ = {scale}": {"scale": scale} for scale in (2, 4)}
    cells = _compared("gradprom_lizard", {"dia": "diagnosis", "seg": "segmentation"}, scales, "diagnosis")
    note = "Rows with a segmentation network are also tested on patches without a nucleus, which have no diagnosis."
    return _printed("table7", "Super-resolution on Lizard, beside other methods", cells, note, _ESTR)


def _table8() -> Table:
    cells = _compared("gradprom_camus", {"seg": "segmentation"}, _levels(), "segmentation")
    return _printed("table8", "Denoising on CAMUS, beside other methods", cells, _ESTR)


def _mni152() -> Table:
    """Every strategy and three weights on the data that need no download; not in the paper."""
    metrics = ("psnr", "ssim", "psnr_region", "ssim_region", "mean_iou")
    cells = []
    for sigma in (0.1, 0.3):
        column, none = _noise(sigma), _cascade("gradprom_mni152", strategy="none", sigma=sigma)
        cells.append(Cell("noisy", column, none, "degraded", metrics, "segmentation"))
        cells.append(Cell("non-local means", column, none, "non_local_means", metrics[:4]))
        cells.append(Cell("none", column, none, metrics=metrics, task="segmentation"))
        for strategy in (*dict.fromkeys(["frozen", *STRATEGIES.values()]), *TORCHJD):
            for weight in WEIGHTS:
                run = _cascade("gradprom_mni152", strategy=strategy, sigma=sigma, weight=weight)
                row = f"{strategy} λ = {weight:g}"
                rivals = _against(row, ("none", f"frozen λ = {weight:g}"))
                cells.append(Cell(row, column, run, metrics=metrics, task="segmentation", compare_with=rivals))
    notes = (
        "One brain template, mirror-symmetric; training and test slices come from the same brain, so there are effect "
        "sizes and no p-values.",
        "region: T1 above a fifth of its maximum. mean IoU: grey matter, white matter, background.",
    )
    title = "Strategies and weights on slices of the MNI152 template"
    return Table("mni152", title, tuple(cells), significance=False, notes=notes)

