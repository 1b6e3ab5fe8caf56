"""Pictures of test images side by side: degraded, by other methods, enhanced by several runs, and clean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from shared.errors import InputError
from shared.reporting.display import detail
from shared.reporting.images import enlarged, plain
from shared.reporting.panels import Row, draw_pictures, image_picture, quality_caption
from shared.reproduction.trained_run import Sample, TrainedRun, any_phantom, legend, load_all, same_samples

SEPARATOR = ": "
BOX = "The red box, where the clean image varies most, is shown enlarged below."
LOWER = "Images of lower resolution are enlarged by bicubic interpolation."


def draw_methods(
    runs: Mapping[str, str | Path], seen: str, images: int = 1, baselines: Mapping[str, str] | None = None
) -> bytes:
    """Draw what methods make of the same test images, of one data set or of several below each other.

    Args:
        runs: folders of finished runs by label, "<method>" or "<data set>: <method>"; methods with one name share a
            column, and the runs of a data set its images.
        seen: the first words of the legend.
        images: number of test images per data set, spread over the test set.
        baselines: methods of the runs' reports, "non_local_means" for example, by the heading of their column.

    Returns:
        A PNG file.

    Raises:
        InputError: when labels are of both forms, a run cannot be read or lacks a baseline, or runs of a data set were
            tested on other images.
    """
    others = dict(baselines or {})
    trained = load_all(runs)
    groups = _by_data(trained)
    methods = list(dict.fromkeys(method for group in groups.values() for method in group))
    rows, first_column = [], "bicubic"
    for data, group in groups.items():
        first = next(iter(group.values()))
        for sample in same_samples(group, images):
            if sample.image.shape == sample.clean.shape:
                first_column = "degraded"
            answers = [*_answers(first, sample, others), *(_answer(group.get(name), sample) for name in methods)]
            rows += comparison(sample, answers, first.orientation, f"{data}, " if data else "")
    sentences = [f"{seen}; PSNR and SSIM against the clean image.", LOWER, BOX]
    return draw_pictures([first_column, *others, *methods, "clean"], rows, legend(sentences, any_phantom(trained)))


def comparison(sample: Sample, answers: Sequence[Tensor | None], orientation: str, data: str = "") -> list[Row]:
    """Return two rows, the whole images with their quality and the detail: degraded, answers, clean."""
    box = detail(sample.clean)
    versions = [sample.degraded, *answers]
    captions = ["" if v is None else quality_caption(v, sample.clean) for v in versions]
    whole = [
        None if v is None else image_picture(v, orientation, caption, box=box)
        for v, caption in zip([*versions, sample.clean], [*captions, ""], strict=True)
    ]
    parts = [None if v is None else image_picture(box.crop(v), orientation) for v in [*versions, sample.clean]]
    return [Row(whole, f"{data}{sample.id}"), Row(parts)]


def _by_data(runs: Mapping[str, TrainedRun]) -> dict[str, dict[str, TrainedRun]]:
    groups: dict[str, dict[str, TrainedRun]] = {}
    several = any(SEPARATOR in label for label in runs)
    for label, run in runs.items():
        data, separator, method = label.rpartition(SEPARATOR)
        if several and not separator:
            raise InputError(f"expected labels like 'ISIC{SEPARATOR}GradProm' as the others, found {label!r}")
        groups.setdefault(data, {})[method] = run
    return groups


def _answers(run: TrainedRun, sample: Sample, baselines: Mapping[str, str]) -> Iterator[Tensor]:
    for name in baselines.values():
        if name not in run.baselines:
            raise InputError(f"{run.folder}: found baselines {sorted(run.baselines)} in its report, expected {name!r}")
        yield enlarged(plain(run.baselines[name](sample.image)), sample.clean)


def _answer(run: TrainedRun | None, sample: Sample) -> Tensor | None:
    return None if run is None else run.enhance(sample.image)
