"""How large the runs of a reproduction are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.errors import InputError


@dataclass(frozen=True)
class Profile:
    """What a profile adds to every run.

    Attributes:
        name: what the command line calls it.
        meaning: one line.
        overlays: files of ``shared/configs``, listed last.
        overrides: head keys for every bundle.
        shortened: what share of a number that a run gives remains, by head key; rounded up.
        of_bundle: head keys for single bundles. A profile that names bundles here knows no others.
    """

    name: str
    meaning: str
    overlays: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    shortened: Mapping[str, float] = field(default_factory=dict)
    of_bundle: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def shorten(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the head keys that a run gives, those of its length shortened."""
        return {
            key: math.ceil(value * self.shortened[key]) if key in self.shortened else value
            for key, value in given.items()
        }

    def sizes(self, bundle: str) -> dict[str, Any]:
        """Return the head keys for a bundle.

        Raises:
            InputError: when the profile has no sizes for it.
        """
        if self.of_bundle and bundle not in self.of_bundle:
            known, others = ", ".join(self.of_bundle), " or ".join(map(repr, PROFILES))
            raise InputError(f"profile: expected {others} for bundle {bundle!r}, found {self.name!r}, "
                             f"which has sizes for {known} only")
        return {**self.overrides, **self.of_bundle.get(bundle, {})}


PROFILES = {
    "full": Profile("full", "the bundles' own sizes: those of the paper on real data"),
    "smoke": Profile(
        "smoke", "shows that everything runs, in minutes, with ResNet-10 in place of every backbone; never a result",
        overlays=("smoke.json", "smoke_reproduction.json"),
        overrides={"backbone": "resnet10"},
        shortened={"max_epochs": 0.005, "adversarial_epochs": 0.005},
    ),
}
"""Profiles for every bundle."""
