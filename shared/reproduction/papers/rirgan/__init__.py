"""RIRGAN (Yu et al. 2023): its tables and figures, and our comparison on the MNI152 template."""

from __future__ import annotations

from shared.reproduction.description import Paper
from shared.reproduction.papers.rirgan.figures import FIGURES
from shared.reproduction.papers.rirgan.runs import CPU
from shared.reproduction.papers.rirgan.tables import tables

PAPER = Paper(
    "rirgan",
    "RIRGAN (Yu et al. 2023): super-resolution and denoising of brain MR images by one network",
    tables=tables(),
    figures=FIGURES,
    profiles={CPU.name: CPU},
)

__all__ = ["FIGURES", "PAPER"]
