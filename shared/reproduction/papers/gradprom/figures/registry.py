"""The figures by name: what each shows, which runs it needs, and what draws it."""

from __future__ import annotations

from collections.abc import Mapping

from shared.reproduction.comparison import SEPARATOR
from shared.reproduction.description import Figure, Run
from shared.reproduction.papers.gradprom.figures.comparison import figure4, figure6, figure7
from shared.reproduction.papers.gradprom.figures.explanation import figure2, figure5
from shared.reproduction.papers.gradprom.figures.gate import draw_gate
from shared.reproduction.papers.gradprom.tables import trained

STRATEGIES = {
    "Joint training": "joint",
    "Frozen-params.": "frozen",
    "GradProm": "gradprom",
    "GradProm (cosine)": "gradprom_cosine",
}


def _isic(strategy: str, auxiliary: str = "diagnosis") -> Run:
    return trained("gradprom_isic", auxiliary, strategy, sigma=0.3)


def _measured(strategy: str) -> Run:
    """A run that knows its cosine: strategies that add the losses measure it only when asked to."""
    run = _isic(strategy)
    return run.with_overrides(**{"gradprom#always_measure": True}) if strategy in ("joint", "frozen") else run


_COMPARED = {"Frozen-params.": "frozen", "GradProm": "gradprom"}
_DATA_SETS: Mapping[str, tuple[str, str, Mapping[str, float]]] = {
    "ISIC 2018": ("gradprom_isic", "diagnosis", {"sigma": 0.3}),
    "COVID-CT": ("gradprom_covid_ct", "diagnosis", {"sigma": 0.3}),
    "Lizard": ("gradprom_lizard", "diagnosis", {"scale": 4}),
    "CAMUS": ("gradprom_camus", "segmentation", {"sigma": 0.3}),
}

FIGURES: Mapping[str, Figure] = {
    "figure2": Figure(
        "Guided back-propagation of enhancement, segmentation and diagnosis",
        {"GradProm": _isic("gradprom", "both")},
        figure2,
    ),
    "figure4": Figure(
        "Enhanced images by strategy, ISIC 2018, σ = 0.3, VR_dia",
        {label: _isic(strategy) for label, strategy in _COMPARED.items()},
        figure4,
    ),
    "figure5": Figure(
        "Class-activation maps of VR_dia before and after enhancement, ISIC 2018, σ = 0.3",
        {label: _isic(strategy) for label, strategy in _COMPARED.items()},
        figure5,
    ),
    "figure6": Figure(
        "Enhanced images on four data sets",
        {
            f"{data}{SEPARATOR}{label}": trained(bundle, auxiliary, strategy, True, **degradation)
            for data, (bundle, auxiliary, degradation) in _DATA_SETS.items()
            for label, strategy in _COMPARED.items()
        },
        figure6,
    ),
    "figure7": Figure(
        "CAMUS images as recorded, with their own speckle",
        {"GradProm": trained("gradprom_camus", "segmentation", "gradprom", sigma=0.1)},
        figure7,
    ),
    "gate": Figure(
        "Acceptance rate and cosine over training by strategy, ISIC 2018, σ = 0.3",
        {label: _measured(strategy) for label, strategy in STRATEGIES.items()},
        draw_gate,
        paper=False,
    ),
}
