"""The weights of a package: those that a person trained on real data, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shared.bundle import provenance
from shared.errors import InputError, message_of

REMEDY = "move it away, or package without weights by --without-weights"


def trained(bundle: Path, recognition: bool = False) -> dict[str, bytes]:
    """Return a bundle's weights with their provenance, by path in the package; nothing when there are none.

    Args:
        bundle: its folder.
        recognition: whether recognition.pt, which evaluation needs, comes along.

    Raises:
        InputError: when the weights do not fit the network, when nothing tells what they were trained on, when that
            was phantom data, or when recognition.pt is asked for and missing.
    """
    model = bundle / "models" / "model.pt"
    names = [model.name, provenance.FILE_NAME, *(["recognition.pt"] if recognition else [])]
    if not model.is_file():
        if recognition:
            raise InputError(f"{model}: no such file, expected weights to go with recognition.pt")
        return {}
    origin = provenance.read(model.parent)
    if origin is None:
        raise InputError(f"{model}: found no {provenance.FILE_NAME} beside it, expected it to say what the weights "
                         f"were trained on; {REMEDY}")
    if origin.get("phantom") is not False:
        found = "says phantom data" if origin.get("phantom") else "does not say whether it was phantom data"
        raise InputError(f"{model}: found a {provenance.FILE_NAME} that {found}, expected weights trained on real "
                         f"data; {REMEDY}")
    missing = [name for name in names if not (model.parent / name).is_file()]
    if missing:
        raise InputError(f"{model.parent / missing[0]}: no such file; training makes it beside model.pt")
    _check_fit(bundle, model)
    return {f"models/{name}": (model.parent / name).read_bytes() for name in names}


def described(bundle: Path) -> str:
    """Return what a person wants to know about a bundle's weights, in some words."""
    origin: dict[str, Any] = provenance.read(bundle / "models") or {}
    best = origin.get("best_validation", {}).get("psnr")
    return f"weights trained on {origin.get('data')}" + (f", {best:.2f} dB in validation" if best else "")


def _check_fit(bundle: Path, model: Path) -> None:
    """Raise an InputError unless the network of inference.json takes the weights."""
    # Imported here: they take seconds, and most bundles come without weights.
    from shared.bundle.reading import read_configs
    from shared.networks import weights

    try:
        network = read_configs(bundle, "inference").get_parsed_content("network_def")
    except Exception as err:  # MONAI instantiates anything, which raises anything
        raise InputError(f"{model}: the network that {provenance.FILE_NAME} beside it tells of cannot be built: "
                         f"{message_of(err)}") from err
    weights.load_into(network, weights.read(model), model)
