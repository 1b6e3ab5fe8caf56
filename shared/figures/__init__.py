"""Figures of finished runs: enhanced images side by side, what networks look at, and the gate over training."""

from __future__ import annotations

from shared.figures.comparison import figure4, figure6, figure7
from shared.figures.explanation import figure2, figure5
from shared.figures.gate import draw_gate
from shared.figures.registry import FIGURES, Figure
from shared.figures.trained import TrainedRun, load

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
