"""The handler that turns an evaluation into files and tables."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data import decollate_batch

from shared.distributed import rank
from shared.errors import InputError
from shared.files import make_folder, write_atomically
from shared.metrics import ImageMetric
from shared.recognition import RecognitionTask
from shared.reporting.baselines import Baseline
from shared.reporting.evaluation_panel import PanelRow, SpreadSample, check_orientation, draw_panel
from shared.reporting.images import plain
from shared.reporting.per_image import per_image_csv
from shared.reporting.quality import STANDARD_METRICS, captions, check_metrics, measure, run_baselines
from shared.reporting.recognition import recognise
from shared.reporting.rows import ImageRow, gather
from shared.reporting.summary import finite_or_none, summarise
from shared.reporting.tables import excluded_lines, group_table, quality_table, recognition_table, stability_table

VERSIONS = ("degraded", "enhanced", "clean")


class EnhancementReport:
    """Measures each test image of a stock `monai.engines.SupervisedEvaluator` and reports on all of them.

    Reads `image` (degraded), `label` (clean) and `pred` (enhanced), [C, H, W] each, from the evaluator's output and
    the other keys from its batch. At the end of the epoch it writes, each file whole or not at all:
    `per_image.csv`, `summary.json` (in which null stands for the infinite PSNR of equal images) and `panel.png`,
    logs the closing tables, and publishes the summary as `engine.state.<name>`.

    PSNR and SSIM are taken on images clamped to [0, 1]; recognition networks and other metrics see the images as they
    are, as in training. A degraded image smaller than the clean one (super-resolution) is enlarged by bicubic
    interpolation first, for metrics, recognition and panel alike. Without clean images (unpaired data) the metrics
    must be such as need none, and the enhanced image gives the size. An image on which a metric is not defined (NaN)
    is excluded from it and counted. In a distributed evaluation the rows of all ranks are brought together, and
    images repeated by the sampler count once; rank 0 alone writes.

    Args:
        output_dir: folder of the files.
        tasks: recognition tasks to evaluate on the degraded, enhanced and clean image against the batch's `class`
            (diagnosis) or `mask` [1, H, W] (segmentation); a task without ground truth in the batch is left out.
        baselines: other methods to compare with, by name: functions of the degraded image [C, h, w], as the network
            sees it, to an enhanced image. One of the size [h, w] is enlarged like the degraded image; else it must
            have the size of the clean one. The names appear in files; tables know some by others, and say what was
            enlarged (:func:`~shared.reporting.headings.version_label`). None leaves a method out.
        run: what the summary says about the run (data, seed, device, versions, command); must fit into JSON.
        panel_rows: number of images on the panel, spread over the test set; 0 for no panel.
        orientation: how images lie on the panel, see `draw_panel`.
        id_key: batch key of the image's identity, unique in the test set.
        group_key: batch key of the patient or lesion; the id where it is missing.
        region_key: batch key of an optional region [1, H, W] (> 0.5 is inside), for PSNR, SSIM and other metrics of
            a region inside it.
        name: attribute of `engine.state` that receives the summary.
        metrics: metrics of image quality by name, see :class:`~shared.metrics.ImageMetric`; each says itself whether
            it needs the clean image. The names appear in files, and in tables where the metric has no heading.
        stability: whether summary and tables also tell how much each metric varies over the test images: mean,
            variance and standard deviation (of a population), minimum, maximum and range.
        by_group: whether summary and tables also tell the means of each group (patient, lesion).

    Raises:
        InputError: on arguments outside these rules; during the evaluation on images without id, of shapes that do
            not match, with values that are not finite, or without the clean image or mask that a metric needs, and
            on an empty test set.
    """

    def __init__(
        self,
        output_dir: str | Path,
        tasks: Sequence[RecognitionTask] = (),
        baselines: Mapping[str, Baseline | None] | None = None,
        run: Mapping[str, Any] | None = None,
        panel_rows: int = 3,
        orientation: str = "yx",
        id_key: str = "id",
        group_key: str = "group",
        region_key: str = "region",
        name: str = "report",
        metrics: Mapping[str, ImageMetric] = STANDARD_METRICS,
        stability: bool = False,
        by_group: bool = False,
    ) -> None:
        check_orientation(orientation)
        check_metrics(metrics)
        if panel_rows < 0:
            raise InputError(f"panel_rows of EnhancementReport must be >= 0, found {panel_rows!r}")
        names = [task.name for task in tasks]
        if len(set(names)) != len(names):
            raise InputError(f"tasks of EnhancementReport must have different names, found {names}")
        if taken := sorted(set(baselines or {}) & set(VERSIONS)):
            raise InputError(f"baselines of EnhancementReport must not be called {', '.join(taken)}")
        self.output_dir = Path(output_dir)
        self.tasks = tuple(tasks)
        self.baselines = {name: method for name, method in (baselines or {}).items() if method is not None}
        self.metrics = dict(metrics)
        self.stability = stability
        self.by_group = by_group
        self.run = dict(run or {})
        self.panel_rows = panel_rows
        self.orientation = orientation
        self.id_key, self.group_key, self.region_key = id_key, group_key, region_key
        self.name = name
        self.logger = logging.getLogger("shared.report")
        self._rows: list[ImageRow] = []
        self._enlarged: set[str] = set()
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
        self._rows, self._enlarged = [], set()
        self._sample = SpreadSample(self.panel_rows)

    def _measure(self, images: Mapping[str, Any], item: Mapping[str, Any]) -> None:
        if self.id_key not in item:
            raise InputError(f"each test image needs the key {self.id_key!r}, found {sorted(map(str, item))}")
        identity = str(item[self.id_key])
        try:
            versions, quality = self._quality(images, item)
            recognition = {task.name: recognise(task, versions, item) for task in self.tasks}
        except ValueError as err:
            raise InputError(f"test image {identity!r}: {err}") from err
        answers = {name: answer for name, answer in recognition.items() if answer is not None}
        self._rows.append(ImageRow(identity, str(item.get(self.group_key, identity)), quality, answers))
        if self._sample.wants_next():
            # Contours hide detail; they are drawn where something is recognised by them.
            mask = item.get("mask") if any(answer.kind == "segmentation" for answer in answers.values()) else None
            self._sample.add(
                PanelRow(
                    identity,
                    {name: image.cpu() for name, image in versions.items()},
                    {name: captions(self.metrics, quality[name]) for name in ("degraded", "enhanced")},
                    mask=None if mask is None else plain(mask).cpu(),
                )
            )

    def _quality(
        self, images: Mapping[str, Any], item: Mapping[str, Any]
    ) -> tuple[dict[str, torch.Tensor], dict[str, dict[str, float]]]:
        """Return the versions of an image at one size, and the values of all methods."""
        clean = None if images.get("label") is None else plain(images["label"])
        enhanced, own = plain(images["pred"]), plain(images["image"])
        like = enhanced if clean is None else clean
        methods, small = run_baselines({"degraded": lambda image: image, **self.baselines}, own, like)
        self._enlarged |= small
        quality = measure(self.metrics, {**methods, "enhanced": enhanced}, clean, item, item.get(self.region_key))
        versions = {"degraded": methods["degraded"], "enhanced": enhanced}
        return versions if clean is None else {**versions, "clean": clean}, quality

    def _finish(self, engine: Engine) -> None:
        rows = gather(self._rows)
        summary = summarise(rows, self.stability, self.by_group)
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
        table = quality_table(summary["image_quality"], self.metrics, self._enlarged)
        blocks = [f"Test set: {images} images of {groups} groups", table]
        if self.stability:
            blocks.append(stability_table(summary["stability"], self.metrics, self._enlarged))
        if self.by_group:
            blocks.append(group_table(summary["by_group"], self.metrics, self._enlarged))
        if "excluded" in summary:
            blocks.append("\n".join(excluded_lines(summary["excluded"], self.metrics, self._enlarged)))
        if summary["recognition"]:
            blocks.append(recognition_table(summary["recognition"]))
        for task in self.tasks:
            if task.name not in summary["recognition"]:
                blocks.append(f"Recognition task {task.name!r} was left out: the test set has no ground truth for it.")
        blocks.append("Written: " + ", ".join(str(self.output_dir / file) for file in files))
        self.logger.info("\n\n".join(blocks))
