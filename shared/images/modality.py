"""Whether an image is of the modality that a bundle's network was trained on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

ANY = "any"
"""The modality of a network for all kinds of images: nothing is compared."""

_PHOTOGRAPH = {"XC", "GM", "ES"}
_CODES = {
    "MR": {"MR"},
    "CT": {"CT"},
    "US": {"US", "IVUS", "BDUS"},
    "PT": {"PT"},
    "DERMOSCOPY": {"DMS", *_PHOTOGRAPH},
    "HISTOLOGY": {"SM", "GM"},
    "FUNDUS": {"OP", "OPT", "XC"},
    "ENDOSCOPY": {"ES"},
    "X-RAY": {"CR", "DX", "RG", "RF", "XA", "MG", "IO", "PX"},
}
_OTHER_NAMES = {
    "MRI": "MR",
    "ULTRASOUND": "US",
    "PET": "PT",
    "PATHOLOGY": "HISTOLOGY",
    "RETINA": "FUNDUS",
    "COLONOSCOPY": "ENDOSCOPY",
    "XRAY": "X-RAY",
}
# OT: whoever wrote the file did not know, or did not say.
_SAYS_NOTHING = {"", "OT", "UNKNOWN", "NONE"}


def modality_of(metadata: Mapping[str, Any]) -> str:
    """Return the modality that a bundle's ``metadata.json`` gives its network's input; ``ANY`` where it gives none."""
    found: Any = metadata
    for key in ("network_data_format", "inputs", "image", "modality"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) and found else ANY


def other_modality(trained_on: str, found: str | None) -> str | None:
    """Compare what a file says about its modality with what the network was trained on.

    Args:
        trained_on: as :func:`modality_of` gives it: a DICOM code, or a word such as "dermoscopy".
        found: the file's attribute Modality; None where its format knows none, which is as good as right.

    Returns:
        What a person should be told, as a part of a sentence; None where nothing speaks against the image.
    """
    code, word = (found or "").strip().upper(), trained_on.strip().upper()
    if word == ANY.upper() or code in _SAYS_NOTHING:
        return None
    name = _OTHER_NAMES.get(word, word)
    # A word that is neither known nor a code of DICOM cannot be compared.
    if name not in _CODES and not re.fullmatch("[A-Z]{2,4}", name):
        return None
    if code in _CODES.get(name, {name}):
        return None
    return f"its modality is {code}, but the network was trained on {trained_on}: what matters in it may be lost"
