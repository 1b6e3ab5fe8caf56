"""The network outside of Python: TorchScript, torch.export and ONNX, each compared with PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ckpt_export
from monai.data import load_net_with_metadata
from torch import Tensor, nn
from torch.export import Dim

from shared.conformance.bundle import Bundle
from shared.conformance.data_format import images
from shared.conformance.requirements import require
from shared.conformance.result import Result
from shared.conformance.spatial import patterns, shapes, side, step
from shared.errors import message_of

BOUND = 2e-5
"""Largest absolute difference to PyTorch, for images in [0, 1].

Single precision gives 1e-7 to 3e-6; one layer's weights changed by 1 % give more than 5e-5.
"""
AXES = {0: "batch", 2: "height", 3: "width"}


def check_torchscript(bundle: Bundle) -> Result:
    """MONAI's ``ckpt_export``, loaded from its file."""

    def export(path: Path) -> Callable[[Tensor], Tensor]:
        bundle.network.state_dict()  # random weights are written when the network is made
        ckpt_export(
            "network_def", str(path), ckpt_file=str(bundle.weights), meta_file=str(bundle.metadata_file),
            config_file=str(bundle.path("inference")), **bundle.overrides,
        )
        return load_net_with_metadata(str(path))[0]

    return _checked(bundle, "model.ts", export)


def check_torch_export(bundle: Bundle) -> Result:
    """``torch.export`` with dynamic batch, height and width, loaded from its file."""

    def export(path: Path) -> Callable[[Tensor], Tensor]:
        to_exported_program(bundle.network, _sample(bundle), path, _steps(bundle))
        return torch.export.load(path).module()

    return _checked(bundle, "model.pt2", export)


def check_onnx(bundle: Bundle) -> Result:
    """ONNX with dynamic batch, height and width, run by onnxruntime on the CPU."""

    def export(path: Path) -> Callable[[Tensor], Tensor]:
        to_onnx(bundle.network, _sample(bundle), path, _steps(bundle))
        return onnx_runner(path)

    return _checked(bundle, "model.onnx", export)


def to_exported_program(network: nn.Module, sample: Tensor, path: Path, steps: Sequence[int] = (1, 1)) -> None:
    """Write a network as ``torch.export`` does.

    Args:
        network: in evaluation mode.
        sample: [B, C, H, W] that it takes, B at least 2.
        path: the file, usually ``*.pt2``.
        steps: what heights and widths are multiples of; 0 for a fixed one. The batch is dynamic, too.
    """
    with torch.no_grad():
        program = torch.export.export(network, (sample,), dynamic_shapes=(_dynamic(steps),))
    torch.export.save(program, path)


def to_onnx(network: nn.Module, sample: Tensor, path: Path, steps: Sequence[int] = (1, 1)) -> None:
    """Write a network as one ONNX file with the input ``image`` and the output ``pred``.

    Args:
        network: in evaluation mode.
        sample: [B, C, H, W] that it takes, B at least 2.
        path: the file, usually ``*.onnx``.
        steps: what heights and widths are multiples of; 0 for a fixed one. The batch is dynamic, too.

    Raises:
        InputError: a package of the extra ``export`` is missing.
    """
    require("onnx", "onnxscript")
    with torch.no_grad():
        torch.onnx.export(
            network, (sample,), str(path), input_names=["image"], output_names=["pred"], dynamo=True, verbose=False,
            dynamic_shapes=(_dynamic(steps),), external_data=False,
        )


def onnx_runner(path: Path) -> Callable[[Tensor], Tensor]:
    """A function that runs an ONNX file by onnxruntime on the CPU, [B, C, H, W] to [B, C, s·H, s·W].

    Raises:
        InputError: onnxruntime is missing.
    """
    require("onnx", "onnxruntime")
    import onnx
    import onnxruntime

    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # it would write errors past Python; they are raised, too
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda pixels: torch.from_numpy(session.run(None, {name: pixels.numpy()})[0])


def difference(run: Callable[[Tensor], Tensor], network: nn.Module, pixels: Tensor) -> float:
    """The largest absolute difference of what two give; infinite where sizes differ or a value is not finite."""
    with torch.no_grad():
        found, expected = run(pixels), network(pixels)
    if found.shape != expected.shape or not torch.isfinite(found).all():
        return float("inf")
    return float((found - expected).abs().max())


def _checked(bundle: Bundle, file: str, export: Callable[[Path], Callable[[Tensor], Tensor]]) -> Result:
    """Export, load, and compare with PyTorch at all sizes but the one exported at."""
    path = bundle.exports / file
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        run = export(path)
    except Exception as err:  # exporters raise anything
        path.unlink(missing_ok=True)
        return Result.of([f"{file}: network_def cannot be exported: {message_of(err)}"])
    worst = 0.0
    for height, width in shapes(bundle)[1:] or shapes(bundle):
        pixels = images(_channels(bundle), height.pixels, width.pixels)
        where = f"{file} at {height.pixels}x{width.pixels}"
        try:
            found = difference(run, bundle.network, pixels)
        except Exception as err:  # so do the runtimes
            return Result.of([f"{where}: cannot be run: {message_of(err)}"])
        if not found <= BOUND:
            return Result.of([f"{where}: found a difference of {found:.1e} to PyTorch, expected at most {BOUND:.0e}"])
        worst = max(worst, found)
    return Result.of([], f"{worst:.0e}" if worst else "0")


def _sample(bundle: Bundle) -> Tensor:
    height, width = shapes(bundle)[0]
    return images(_channels(bundle), height.pixels, width.pixels, batch=2)


def _channels(bundle: Bundle) -> int:
    return side(bundle, "inputs", "image")["num_channels"]


def _steps(bundle: Bundle) -> tuple[int, int]:
    height, width = patterns(bundle)[0]
    return step(height), step(width)


def _dynamic(steps: Sequence[int]) -> dict[int, Any]:
    """Names of the dynamic axes, as multiples where a network takes no other sizes."""
    multiples = {0: 1, 2: steps[0], 3: steps[1]}
    return {axis: multiples[axis] * Dim(name) if multiples[axis] > 1 else Dim(name)
            for axis, name in AXES.items() if multiples[axis]}
