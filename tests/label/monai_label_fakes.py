"""What monailabel 0.8.5 does after a bundle's own transforms, as far as an answer passes through it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import SaveImaged, Transform

from shared.inference import LoadSourced


def request(image: str, **parameters: Any) -> dict[str, Any]:
    """The data that a bundle's transforms get: the request, the model's options and the path once more."""
    fields = {"model": "gradprom_mni152", "image": image, "device": "cpu", "model_filename": ["model.pt"]}
    return {**fields, "description": "", **parameters, "image_path": image}


def enhance(data: dict[str, Any], transforms: list[Transform], scale: int = 1) -> dict[str, Any]:
    """Load, enlarge by repetition in the place of a network, and run what comes after it."""
    data = LoadSourced("image")(data)
    data["pred"] = data["image"].repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    for transform in transforms:
        if not isinstance(transform, SaveImaged):
            data = transform(data)
            _log(data)
    return _restored(data)


def _log(data: dict[str, Any]) -> str:
    """Name shapes and types after every transform."""
    found = [data[key] for key in ("image", "pred") if key in data]
    return ", ".join(f"{value.shape}({value.dtype})" for value in found if hasattr(value, "shape"))


def _restored(data: dict[str, Any]) -> dict[str, Any]:
    """Resize by nearest neighbour to the source's size, and take the first channel where there is one only."""
    image, result = data.get("image"), data["pred"]
    size = result.shape[1:]
    meta = image.meta if isinstance(image, MetaTensor) else data.get("image_meta_dict", {})
    wanted = meta.get("spatial_shape", size)[-len(size) :]
    if np.any(np.not_equal(size, wanted)):
        values = torch.as_tensor(np.asarray(result)).float()[None]
        result = torch.nn.functional.interpolate(values, tuple(int(side) for side in wanted))[0].numpy()
    if len(result.shape) > 3 and result.shape[0] == 1:
        result = result[0]
    return {**data, "pred": result, "pred_meta_dict": {"affine": meta.get("original_affine")}}


def write(data: dict[str, Any]) -> Any:
    """The name of the result's file: what ``pred`` is where nothing is to be written."""
    if data.get("result_write_to_file", True):
        raise AssertionError("MONAI Label would write a label map")
    assert isinstance(data["pred"].shape, tuple)
    return data["pred"]
