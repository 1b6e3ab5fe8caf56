"""Whether the network takes and gives what metadata.json says: sizes, channels, types, ranges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from monai.bundle import verify_net_in_out
from PIL import Image
from torch import Tensor

from shared.conformance.bundle import SEED, Bundle
from shared.conformance.result import Result
from shared.conformance.spatial import Size, evaluate, patterns, shapes, side, sizes
from shared.errors import message_of
from shared.packaging.metadata import KEY, METADATA

NEAR = 0.05
"""Part of a value range by which the darkest and brightest pixel of a prepared image may miss its ends."""
FAR = 0.5
"""Part of a value range by which a trained network's output may leave it, for all but 2 % of the pixels."""
ADAPTED = "as trained"
"""What the table says where the weights decide about the format, not metadata.json."""


def check_format(bundle: Bundle) -> Result:
    """``network_data_format`` against what happens: the network at several sizes, odd ones too, and preprocessing.

    Where a bundle's own weights were trained otherwise than usual, what is checked is what its package will say.
    """
    # Each needs what those before it find right.
    failures = list(_statement_failures(bundle)) or list(_network_failures(bundle)) or list(_range_failures(bundle))
    note = "" if bundle.packaged_metadata == bundle.metadata else ADAPTED
    return Result.of([f"{METADATA}: {line}" for line in dict.fromkeys(failures)], note)


def check_verify_net_in_out(bundle: Bundle) -> Result:
    """MONAI's own ``verify_net_in_out``, as the Model Zoo calls it (the smallest size) and at some more sizes."""
    failures = []
    height = patterns(bundle)[0][0]
    for n in dict.fromkeys([1, *(size.n for size in sizes(height) if size.p == 1)]):
        try:
            verify_net_in_out(
                "network_def", str(bundle.metadata_file), str(bundle.path("inference")), device="cpu", n=n, any=n,
                **bundle.overrides,
            )
        except Exception as err:  # the network may raise anything
            failures.append(f"{METADATA}: {KEY}: verify_net_in_out with n={n}: {message_of(err)}")
            break
    return Result.of(failures)


def images(channels: int, height: int, width: int, batch: int = 1) -> Tensor:
    """Random images [batch, channels, height, width] in [0, 1], always the same."""
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(SEED))


def _statement_failures(bundle: Bundle) -> Iterator[str]:
    """What the metadata contradict or leave open by themselves."""
    inputs, outputs = side(bundle, "inputs", "image"), side(bundle, "outputs", "pred")
    for name, key in (("inputs", "image"), ("outputs", "pred")):
        keys = list(bundle.packaged_metadata[KEY][name])
        if keys != [key]:
            yield f"{KEY}#{name}: found {', '.join(keys)}, expected {key} alone, all that an enhancement network has"
    for where, each in (("inputs#image", inputs), ("outputs#pred", outputs)):
        channels, names = each.get("num_channels"), each.get("channel_def")
        if type(channels) is not int or channels < 1:
            yield f"{KEY}#{where}#num_channels: found {channels!r}, expected a number of channels"
        elif not isinstance(names, dict) or list(names) != [str(k) for k in range(channels)]:
            found = list(names) if isinstance(names, dict) else names
            yield f"{KEY}#{where}#channel_def: found {found!r}, expected a name for each of {channels} channels"
        bounds = each.get("value_range")
        if not _is_range(bounds):
            yield f"{KEY}#{where}#value_range: found {bounds!r}, expected two numbers, ascending"
        if not isinstance(getattr(torch, str(each.get("dtype")), None), torch.dtype):
            yield f"{KEY}#{where}#dtype: found {each.get('dtype')!r}, expected a type of torch"
    if "*" in outputs["spatial_shape"]:
        yield (f"{KEY}#outputs#pred#spatial_shape: found {outputs['spatial_shape']!r}, which leaves open how "
               "large the result is; expected terms of the input's size, for example ['n', 'n'] or ['4*n', '4*n']")
    if inputs.get("value_range") != outputs.get("value_range"):
        yield (f"{KEY}#outputs#pred#value_range: found {outputs.get('value_range')!r}, expected "
               f"{inputs.get('value_range')!r} as of inputs#image: an enhanced image has the intensities of its source")


def _network_failures(bundle: Bundle) -> Iterator[str]:
    inputs, outputs = side(bundle, "inputs", "image"), side(bundle, "outputs", "pred")
    for height, width in shapes(bundle):
        given = f"an image of {height.pixels}x{width.pixels}"
        pixels = images(inputs["num_channels"], height.pixels, width.pixels).to(getattr(torch, inputs["dtype"]))
        try:
            with torch.no_grad():
                result = bundle.network(pixels)
        except Exception as err:  # the network may raise anything
            yield f"{KEY}#inputs#image: network_def does not take {given} of this format: {message_of(err)}"
            return
        expected = _expected(height, width, outputs)
        if tuple(result.shape[2:]) != expected:
            found = "x".join(map(str, result.shape[2:]))
            yield (f"{KEY}#outputs#pred#spatial_shape: found {outputs['spatial_shape']!r}, which is "
                   f"{expected[0]}x{expected[1]} for {given}, expected {found}, what network_def gives")
            return
        if result.shape[1] != outputs["num_channels"]:
            yield (f"{KEY}#outputs#pred#num_channels: found {outputs['num_channels']}, expected {result.shape[1]}, "
                   "what network_def gives")
        if result.dtype != getattr(torch, outputs["dtype"]):
            yield f"{KEY}#outputs#pred#dtype: found {outputs['dtype']}, expected {str(result.dtype).split('.')[-1]}"
        if not torch.isfinite(result).all():
            yield f"{KEY}#inputs#image: network_def gives values that are not finite for {given}"


def _is_range(bounds: object) -> bool:
    numbers = isinstance(bounds, list) and all(isinstance(bound, int | float) for bound in bounds)
    return isinstance(bounds, list) and numbers and len(bounds) == 2 and bounds[0] < bounds[1]


def _expected(height: Size, width: Size, outputs: Mapping[str, Any]) -> tuple[int, int]:
    above, across = outputs["spatial_shape"]
    return evaluate(above, height.p, height.n), evaluate(across, width.p, width.n)


def _range_failures(bundle: Bundle) -> Iterator[str]:
    """Whether preprocessing gives the declared type and range, and a trained network stays near it."""
    inputs = side(bundle, "inputs", "image")
    low, high = inputs["value_range"]
    prepared = _prepared(bundle, inputs["num_channels"])
    if prepared.dtype != getattr(torch, inputs["dtype"]):
        found = str(prepared.dtype).split(".")[-1]
        yield f"{KEY}#inputs#image#dtype: found {inputs['dtype']}, expected {found}, what preprocessing gives"
    ends = float(prepared.min()), float(prepared.max())
    if any(abs(found - stated) > NEAR * (high - low) for found, stated in zip(ends, (low, high), strict=True)):
        yield (f"{KEY}#inputs#image#value_range: found {inputs['value_range']!r}, expected [{ends[0]:g}, {ends[1]:g}], "
               "what preprocessing makes of an 8-bit image from black to white")
        return
    if bundle.has_weights:
        with torch.no_grad():
            result = bundle.network(prepared[None])
        darkest, brightest = np.quantile(result.numpy(), [0.01, 0.99])
        if darkest < low - FAR * (high - low) or brightest > high + FAR * (high - low):
            yield (f"{KEY}#outputs#pred#value_range: found {inputs['value_range']!r}, expected [{darkest:.3g}, "
                   f"{brightest:.3g}], what the trained network gives")


def _prepared(bundle: Bundle, channels: int) -> Tensor:
    """What the bundle's preprocessing makes of a PNG file of all 8-bit values, [channels, 32, 48]."""
    path = bundle.work / "ramp.png"
    ramp = np.linspace(0, 255, 32 * 48).round().astype(np.uint8).reshape(32, 48)
    Image.fromarray(ramp if channels == 1 else np.stack([ramp] * 3, axis=2)).save(path)
    data = bundle.parser("inference").get_parsed_content("preprocessing")({"image": str(path)})
    return torch.as_tensor(data["image"]).as_subclass(Tensor)
