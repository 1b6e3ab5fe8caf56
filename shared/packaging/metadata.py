"""What a package's metadata.json says of the network's data, where its weights were trained otherwise than usual."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

METADATA = "configs/metadata.json"
"""Where it lies in a bundle."""
KEY = "network_data_format"
COLOURS: dict[int, tuple[str, dict[str, str]]] = {
    1: ("magnitude", {"0": "grey"}),
    3: ("RGB", {"0": "red", "1": "green", "2": "blue"}),
}
"""``format`` and ``channel_def`` by the number of channels that a bundle can be trained with."""


def for_weights(
    metadata: Mapping[str, Any], inference: Mapping[str, Any], origin: Mapping[str, Any]
) -> dict[str, Any]:
    """Return metadata whose ``network_data_format`` holds for trained weights.

    A bundle's metadata.json speaks of the network that inference.json makes by default. Where inference.json asks
    provenance.json for the number of channels or the scale and is told another than its default, what was said for
    the default is replaced. What was not right for the default is wrong for the weights too, and stays, so that the
    checks find it.

    Args:
        metadata: content of metadata.json.
        inference: content of inference.json.
        origin: content of the provenance.json beside the weights.
    """
    adapted = copy.deepcopy(dict(metadata))
    image, pred = entry(adapted, "inputs", "image") or {}, entry(adapted, "outputs", "pred") or {}
    usual, trained = _asked(inference, origin, "channels")
    if usual != trained and trained in COLOURS:
        name, channels = COLOURS[trained]
        for each in (image, pred):
            if each.get("num_channels") == usual:
                each.update(num_channels=trained, format=name, channel_def=dict(channels))
    usual, trained = _asked(inference, origin, "scale")
    source = image.get("spatial_shape")
    if usual != trained and isinstance(source, list) and pred.get("spatial_shape") == _enlarged(source, usual):
        pred["spatial_shape"] = _enlarged(source, trained)
    return adapted


def entry(metadata: Mapping[str, Any], name: str, key: str) -> dict[str, Any] | None:
    """Return what metadata say of "inputs", "image" or of "outputs", "pred", to be read or changed, if anything."""
    content: Any = metadata
    for each in (KEY, name, key):
        content = content.get(each) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else None


def _asked(inference: Mapping[str, Any], origin: Mapping[str, Any], key: str) -> tuple[Any, Any]:
    """Return the default of what inference.json asks provenance.json for, and the answer; twice None if it does not."""
    for value in inference.values():
        asks = isinstance(value, dict) and value.get("_target_") == "shared.bundle.provenance.setting"
        if asks and value["key"] == key:
            return value["default"], origin.get(key, value["default"])
    return None, None


def _enlarged(shape: list[Any], scale: int) -> list[Any]:
    """Return the size of the output as metadata.json writes it: ["4*n", "4*n"] for ["n", "n"]."""
    return [size if scale == 1 else f"{scale}*{size}" for size in shape]
