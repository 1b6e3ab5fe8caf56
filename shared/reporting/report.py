"""The handler that turns an evaluation into files and tables."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data import decollate_batch

from shared.distributed import rank
from shared.errors import InputError
from shared.files import make_folder, write_atomically
from shared.metrics import psnr, ssim
from shared.metrics.image_quality import BORDER
from shared.recognition import RecognitionTask
from shared.reporting.images import enlarged, plain
from shared.reporting.panel import PanelRow, SpreadSample, check_orientation, draw_panel
from shared.reporting.recognition import recognise
from shared.reporting.rows import ImageRow, Recognition, gather
from shared.reporting.summary import finite_or_none, summarise
from shared.reporting.tables import per_image_csv, quality_table, recognition_table

VERSIONS = ("degraded", "enhanced", "clean")


class EnhancementReport:
    """Measures each test image of a stock `monai.engines.SupervisedEvaluator` and reports on all of them.

    Reads `image` (degraded), `label` (clean) and `pred` (enhanced), [C, H, W] each, from the evaluator's output and
    the other keys from its batch. At the end of the epoch it writes, each file whole or not at all:
    `per_image.csv`, `summary.json` (in which null stands for the infinite PSNR of equal images) and `panel.png`,
    logs the closing tables, and publishes the summary as `engine.state.<name>`.

    PSNR and SSIM are taken on images clamped to [0, 1]; recognition networks see the images as they are, as in
    training. A degraded image smaller than the clean one (super-resolution) is enlarged by bicubic interpolation
    first, for metrics, baselines, recognition and panel alike. In a distributed evaluation the rows of all ranks
    are brought together, and images repeated by the sampler count once; rank 0 alone writes.

    Args:
        output_dir: folder of the files.
        tasks: recognition tasks to evaluate on the degraded, enhanced and clean image against the batch's `class`
            (diagnosis) or `mask` [1, H, W] (segmentation); a task without ground truth in the batch is left out.
        baselines: other methods to compare with, by name: functions of the degraded image [C, H, W] to an image of
            that shape. The names appear in files and tables.
        run: what the summary says about the run (data, seed, device, versions, command); must fit into JSON.
        panel_rows: number of images on the panel, spread over the test set; 0 for no panel.
        orientation: how images lie on the panel, see `draw_panel`.
        id_key: batch key of the image's identity, unique in the test set.
        group_key: batch key of the patient or lesion; the id where it is missing.
        region_key: batch key of an optional region [1, H, W] (> 0.5 is inside), for PSNR and SSIM inside it.
        name: attribute of `engine.state` that receives the summary.

    Raises:
        InputError: on arguments outside these rules; during the evaluation on images without id, of shapes that do
            not match, or with values that are not finite, and on an empty test set.
    """

    def __init__(
        self,
        output_dir: str | Path,
        tasks: Sequence[RecognitionTask] = (),
        baselines: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] | None = None,
        run: Mapping[str, Any] | None = None,
        panel_rows: int = 3,
        orientation: str = "yx",
        id_key: str = "id",
        group_key: str = "group",
        region_key: str = "region",
        name: str = "report",
    ) -> None:
        check_orientation(orientation)
        if panel_rows < 0:
            raise InputError(f"panel_rows of EnhancementReport must be >= 0, found {panel_rows!r}")
        names = [task.name for task in tasks]
        if len(set(names)) != len(names):
            raise InputError(f"tasks of EnhancementReport must have different names, found {names}")
        if taken := sorted(set(baselines or {}) & set(VERSIONS)):
            raise InputError(f"baselines of EnhancementReport must not be called {', '.join(taken)}")
        self.output_dir = Path(output_dir)
        self.tasks = tuple(tasks)
        self.baselines = dict(baselines or {})
        self.run = dict(run or {})
        self.panel_rows = panel_rows
        self.orientation = orientation
        self.id_key, self.group_key, self.region_key = id_key, group_key, region_key
        self.name = name
        self.logger = logging.getLogger("shared.report")
        self._rows: list[ImageRow] = []
        self._sample = SpreadSample(panel_rows)

    def attach(self, engine: Engine) -> None:
        """Measure after every iteration of an evaluator, and report at the end of its epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        # ITERATION_COMPLETED comes after MODEL_COMPLETED, at which MONAI decollates and post-processes.
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._finish)

    def __call__(self, engine: Engine) -> None:
        """Measure the images of one iteration."""
        state: Any = engine.state
        outputs, items = (
            decollate_batch(data) if isinstance(data, Mapping) else data for data in (state.output, state.batch)
        )
        for images, item in zip(outputs, items, strict=True):
            self._measure(images, item)

    def _start(self) -> None:
        # Not at the end: an evaluation may take hours.
        if rank() == 0:
            make_folder(self.output_dir)
        self._rows = []
        self._sample = SpreadSample(self.panel_rows)

    def _measure(self, images: Mapping[str, Any], item: Mapping[str, Any]) -> None:
        if self.id_key not in item:
            raise InputError(f"each test image needs the key {self.id_key!r}, found {sorted(map(str, item))}")
        identity = str(item[self.id_key])
        try:
            clean, enhanced = plain(images["label"]), plain(images["pred"])
            degraded = enlarged(plain(images["image"]), clean)
            quality = self._quality(degraded, enhanced, clean, item.get(self.region_key))
            recognition = self._recognition(degraded, enhanced, clean, item)
        except ValueError as err:
            raise InputError(f"test image {identity!r}: {err}") from err
        row = ImageRow(identity, str(item.get(self.group_key, identity)), quality, recognition)
        self._rows.append(row)
        if self._sample.wants_next():
            mask = item.get("mask")
            self._sample.add(
                PanelRow(
                    identity,
                    degraded.cpu(),
                    enhanced.cpu(),
                    clean.cpu(),
                    degraded_caption=_caption(quality["degraded"]),
                    enhanced_caption=_caption(quality["enhanced"]),
                    mask=None if mask is None else plain(mask).cpu(),
                )
            )

    def _quality(
        self, degraded: torch.Tensor, enhanced: torch.Tensor, clean: torch.Tensor, region: torch.Tensor | None
    ) -> dict[str, dict[str, float]]:
        versions = {"degraded": degraded}
        versions |= {name: plain(method(degraded)).to(clean.device) for name, method in self.baselines.items()}
        versions["enhanced"] = enhanced
        quality = {name: _compare(name, image, clean) for name, image in versions.items()}
        # A slice at the edge of a body may have a region too small for a single window: no value rather than a crash.
        if region is not None and (plain(region)[..., BORDER:-BORDER, BORDER:-BORDER] > 0.5).any():
            for name, image in versions.items():
                inside = _compare(name, image, clean, region)
                quality[name] |= {f"{metric}_region": value for metric, value in inside.items()}
        return quality

    def _recognition(
        self, degraded: torch.Tensor, enhanced: torch.Tensor, clean: torch.Tensor, item: Mapping[str, Any]
    ) -> dict[str, Recognition]:
        versions = dict(zip(VERSIONS, (degraded, enhanced, clean), strict=True))
        answers = {task.name: recognise(task, versions, item) for task in self.tasks}
        return {name: answer for name, answer in answers.items() if answer is not None}

    def _finish(self, engine: Engine) -> None:
        rows = gather(self._rows)
        summary = summarise(rows)
        setattr(engine.state, self.name, summary)
        if rank() > 0:
            return
        files = {
            "per_image.csv": per_image_csv(rows).encode(),
            "summary.json": json.dumps(finite_or_none({**summary, "run": self.run}), indent=2).encode() + b"\n",
        }
        if self.panel_rows:
            files["panel.png"] = draw_panel(self._sample.chosen(), self.orientation)
        for file, content in files.items():
            write_atomically(self.output_dir / file, content)
        self._log(summary, files)

    def _log(self, summary: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
        images, groups = summary["number_of_images"], summary["number_of_groups"]
        blocks = [f"Test set: {images} images of {groups} groups", quality_table(summary["image_quality"])]
        if summary["recognition"]:
            blocks.append(recognition_table(summary["recognition"]))
        for task in self.tasks:
            if task.name not in summary["recognition"]:
                blocks.append(f"Recognition task {task.name!r} was left out: the test set has no ground truth for it.")
        blocks.append("Written: " + ", ".join(str(self.output_dir / file) for file in files))
        self.logger.info("\n\n".join(blocks))


def _compare(
    name: str, image: torch.Tensor, clean: torch.Tensor, region: torch.Tensor | None = None
) -> dict[str, float]:
    try:
        return {"psnr": psnr(image, clean, mask=region), "ssim": ssim(image, clean, mask=region)}
    except ValueError as err:
        raise ValueError(f"{name}: {err}") from err


def _caption(values: Mapping[str, float]) -> str:
    return f"{values['psnr']:.2f} dB, SSIM {values['ssim']:.3f}"
