"""Figures of finished runs: enhanced images side by side, what networks look at, and the gate over training."""

from __future__ import annotations

from shared.reproduction.papers.gradprom.comparison import figure4, figure6, figure7
from shared.reproduction.papers.gradprom.explanation import figure2, figure5
from shared.reproduction.papers.gradprom.gate import draw_gate
from shared.reproduction.papers.gradprom.registry import FIGURES, Figure
from shared.reproduction.papers.gradprom.trained import TrainedRun, load

__all__ = [
    "FIGURES",
    "Figure",
    "TrainedRun",
    "draw_gate",
    "figure2",
    "figure4",
    "figure5",
    "figure6",
    "figure7",
    "load",
]
