"""How the images that a network was trained on were brought to [0, 1]: inference does the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from shared.bundle import provenance
from shared.errors import InputError
from shared.images.scaling import PROVENANCE_KEY, IntensityScaling


def load_scaling(
    ckpt_path: str, default: IntensityScaling | None = None, bits: int | None = None
) -> IntensityScaling:
    """The rule in provenance.json beside the weights, else ``default``.

    Args:
        ckpt_path: path of the enhancement network's weights; its folder may hold provenance.json.
        default: rule of the bundle's configuration; None for percentiles 0.1 and 99.9.
        bits: depth of all integer images; None for what the rule says.

    Raises:
        InputError: provenance.json is no JSON object, its ``intensity_scaling`` is malformed, or so is ``bits``.
    """
    rule = provenance.setting(ckpt_path, PROVENANCE_KEY, None)
    if rule is None:
        found = default if default is not None else IntensityScaling()
    else:
        try:
            found = IntensityScaling.from_dict(rule)
        except InputError as err:
            raise InputError(f"{Path(ckpt_path).parent / provenance.FILE_NAME}: {err}") from err
    return found if bits is None else replace(found, bits=bits)
