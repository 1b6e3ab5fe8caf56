"""Phantom CAMUS: frames, label maps, cfg files and the split in the layout of the new archive."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from shared.data.phantoms.heart import Heart, Probe, draw, random_heart, random_probe

PATIENTS = 64
#: Patients that validate and test; the others train. About the shares of the real split, with more to test on.
VALIDATION, TEST = 6, 10
#: One view in five is poor, as in the real data about.
_QUALITIES = ("Good", "Medium", "Good", "Medium", "Poor")


def write(folder: Path) -> None:
    """Write ``database_nifti`` and ``database_split`` into ``folder``: the same files whenever it is called.

    Four frames a patient (2CH and 4CH at ED and ES) of about 96×112 to 160×160 pixels as uint8 NIfTI, whose arrays
    are (W, H), with their label maps (values 0 to 3). cfg files have CRLF line ends for every second patient. The
    films (``_half_sequence``) are left out to keep it small.
    """
    rng = np.random.default_rng(2019)
    names = [f"patient{number:04d}" for number in range(1, PATIENTS + 1)]
    for number, name in enumerate(names):
        _write_patient(folder / "database_nifti" / name, number, rng)
    parts = np.split(rng.permutation(names), [TEST, TEST + VALIDATION])
    split = folder / "database_split"
    split.mkdir()
    for section, part in zip(("testing", "validation", "training"), parts, strict=True):
        (split / f"subgroup_{section}.txt").write_text("\n".join(sorted(part)), encoding="utf-8", newline="")


def _write_patient(folder: Path, number: int, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    heart = random_heart(rng)
    age, sex = int(rng.integers(25, 85)), "FM"[int(rng.integers(2))]
    for view in ("2CH", "4CH"):
        probe = random_probe(rng, right_ventricle=view == "4CH")
        quality = _QUALITIES[int(rng.integers(len(_QUALITIES)))]
        for phase in ("ED", "ES"):
            _write_frame(folder / f"{folder.name}_{view}_{phase}", heart, probe, phase == "ES", quality)
        facts = {
            "ED": 1, "ES": 10, "NbFrame": 10, "Sex": sex, "Age": age, "ImageQuality": quality,
            "EF": round(100 * heart.ejection), "FrameRate": 50,
        }
        lines = [f"{key}: {value}" for key, value in facts.items()]
        text = "\r\n".join(lines) if number % 2 else "\n".join(lines) + "\n"
        (folder / f"Info_{view}.cfg").write_text(text, encoding="utf-8", newline="")


def _write_frame(stem: Path, heart: Heart, probe: Probe, systole: bool, quality: str) -> None:
    pixels, labels = draw(heart, probe, systole, quality)
    _write_nifti(stem.with_name(f"{stem.name}.nii.gz"), np.rint(pixels * 255).astype(np.uint8))
    _write_nifti(stem.with_name(f"{stem.name}_gt.nii.gz"), labels)


def _write_nifti(path: Path, plane: NDArray[np.uint8]) -> None:
    """Write [H, W] as (W, H), with pixels of 1 mm."""
    nibabel.save(nibabel.Nifti1Image(plane.T, np.eye(4)), path)  # type: ignore[attr-defined]
