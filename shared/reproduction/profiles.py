"""How large the runs of a reproduction are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.errors import InputError
from shared.reproduction.model import Run

_CPU_MNI152 = {
    "profile": "cpu",
    "network_def#num_blocks": 4,
    "network_def#features": 32,
    "max_epochs": 3,
    "val_interval": 3,
    "pretrain_epochs": 8,
}


@dataclass(frozen=True)
class Profile:
    """What a profile adds to every run.

    Attributes:
        name: what the command line calls it.
        meaning: one line.
        overlays: files of ``shared/configs``, listed last.
        overrides: head keys for every bundle.
        of_bundle: head keys for single bundles. A profile that names bundles here knows no others.
    """

    name: str
    meaning: str
    overlays: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    of_bundle: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def apply(self, run: Run) -> Run:
        """Return the run as this profile runs it.

        Raises:
            InputError: when the profile has no sizes for the run's bundle.
        """
        if self.of_bundle and run.bundle not in self.of_bundle:
            known = ", ".join(self.of_bundle)
            raise InputError(f"profile: expected 'full' or 'smoke' for bundle {run.bundle!r}, found {self.name!r}, "
                             f"which has sizes for {known} only")
        return Run(
            run.bundle,
            # What the profile says about sizes comes last: a table asks for the paper's backbone, for example.
            {**run.overrides, **self.overrides, **self.of_bundle.get(run.bundle, {})},
            (*run.overlays, *self.overlays),
            run.kind,
            None if run.trained is None else self.apply(run.trained),
        )


PROFILES = {
    "full": Profile("full", "the bundles' own sizes: those of the paper on real data"),
    "cpu": Profile(
        "cpu", "the comparison on MNI152 with a small network, an hour or two on 2 CPU cores",
        of_bundle={"gradprom_mni152": _CPU_MNI152},
    ),
    "smoke": Profile(
        "smoke", "shows that everything runs, in minutes, with ResNet-10 in place of every backbone; never a result",
        overlays=("smoke.json", "smoke_reproduction.json"),
        overrides={"backbone": "resnet10"},
    ),
}
