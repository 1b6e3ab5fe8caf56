"""GradProm's figures: enhanced images side by side, what networks look at, and the gate over training."""

from __future__ import annotations

from shared.reproduction.papers.gradprom.figures.registry import FIGURES

__all__ = ["FIGURES"]
