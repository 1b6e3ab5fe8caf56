"""The weights of a bundle: its network's own, trained on real data, said to be so."""

from __future__ import annotations

from pathlib import Path

import torch

from shared.bundle import provenance
from shared.conformance.bundle import MODEL, Bundle
from shared.conformance.result import Result
from shared.errors import InputError

TOLD = ("data", "seed", "versions", "command")
"""What provenance.json tells besides whether the data were phantoms."""


def check_weights(bundle: Bundle) -> Result:
    """``models/model.pt`` loads strictly, is finite, and provenance.json says which real data it was trained on.

    Where there is no such file, random weights of a fixed seed are written, read and loaded strictly instead.
    """
    failures = []
    try:
        state = bundle.network.state_dict()
    except InputError as err:
        failures.append(str(err))
        state = {}
    bad = next((key for key, value in state.items() if not torch.isfinite(value).all()), None)
    if bad is not None:
        failures.append(f"{MODEL}: {bad}: found values that are not finite")
    if bundle.has_weights:
        failures += _provenance_failures(bundle.folder / "models")
    return Result.of(failures, "" if bundle.has_weights else "random")


def _provenance_failures(folder: Path) -> list[str]:
    name = f"models/{provenance.FILE_NAME}"
    try:
        content = provenance.read(folder)
    except InputError as err:
        return [str(err)]
    if content is None:
        return [f"{name}: found no such file, expected what training writes beside {MODEL}"]
    empty = [key for key in TOLD if content.get(key) in (None, "", {}, [])]
    failures = [f"{name}: {key}: found nothing, expected what training writes" for key in empty]
    if content.get("phantom") is not False:
        failures.append(
            f"{name}: phantom: found {content.get('phantom')!r}, expected false: weights of phantom data are no result"
        )
    return failures
