"""GradProm (arXiv 2501.01114): its tables and figures, and our comparison on the MNI152 template."""

from __future__ import annotations

from shared.reproduction.description import Paper
from shared.reproduction.papers.gradprom.figures import FIGURES
from shared.reproduction.papers.gradprom.tables import CPU, tables

PAPER = Paper(
    "gradprom",
    "GradProm (arXiv 2501.01114): gradients of recognition that promote enhancement",
    tables=tables(),
    figures=FIGURES,
    profiles={CPU.name: CPU},
    short_names=True,
)

__all__ = ["FIGURES", "PAPER"]
