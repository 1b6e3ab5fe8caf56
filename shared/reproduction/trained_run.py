"""A finished run read back from its folder: networks, test images and what it says about itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn

from shared.bundle import provenance
from shared.errors import InputError, message_of
from shared.files import read_json
from shared.networks import weights
from shared.recognition import RecognitionTask
from shared.reporting.baselines import Baseline
from shared.reporting.display import check_orientation
from shared.reporting.images import enlarged, plain, spread

CONFIG = "eval/config.json"
PHANTOM = "These are phantom data, no result."
EXPECTED = "expected the folder of a finished run, with models/ and eval/"


@dataclass(frozen=True)
class Sample:
    """One test image.

    Attributes:
        id: its identity.
        image: degraded, as IP gets it, [C, h, w].
        degraded: the same, by bicubic interpolation of the clean image's size, [C, H, W].
        clean: [C, H, W] in [0, 1].
        mask: class indices [1, H, W], where the test set has them.
        label: class, where the test set has it.
    """

    id: str
    image: Tensor
    degraded: Tensor
    clean: Tensor
    mask: Tensor | None = None
    label: int | None = None


@dataclass(frozen=True)
class TrainedRun:
    """Networks and test set of a finished run, for looking at.

    Attributes:
        folder: of the run.
        network: IP, in evaluation mode.
        tasks: recognition tasks by name, their networks in evaluation mode; none where the bundle has none.
        test_set: items of the test set, preprocessed when they are asked for.
        inferer: how the evaluation applied IP.
        orientation: how images lie on the screen, see :func:`shared.reporting.display.check_orientation`.
        baselines: other methods of its report, by name.
        provenance: content of ``provenance.json``.
    """

    folder: Path
    network: nn.Module
    tasks: Mapping[str, RecognitionTask]
    test_set: Any
    inferer: Callable[[Tensor, nn.Module], Tensor]
    orientation: str
    baselines: Mapping[str, Baseline]
    provenance: Mapping[str, Any]

    @property
    def phantom(self) -> bool:
        """Whether the networks come from phantom data."""
        return bool(self.provenance.get("phantom", False))

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.network.parameters()).device

    def enhance(self, image: Tensor) -> Tensor:
        """Return IP's answer to one image [C, h, w], clamped to [0, 1] as in the evaluation, [C, H, W]."""
        with torch.no_grad():
            return plain(self.inferer(image[None].to(self.device), self.network))[0].clamp(0, 1).cpu()

    def samples(self, count: int) -> list[Sample]:
        """Return at most `count` test images, spread evenly over the test set.

        Raises:
            InputError: when the test set is empty, or an item lacks its id, degraded or clean image.
        """
        chosen = [self._sample(position) for position in spread(len(self.test_set), count)]
        if not chosen:
            raise InputError(f"{self.folder / CONFIG}: found an empty test set, expected at least one image")
        return chosen

    def _sample(self, position: int) -> Sample:
        item = self.test_set[position]
        missing = [key for key in ("id", "image", "label") if key not in item]
        if missing:
            raise InputError(
                f"{self.folder / CONFIG}: its test items lack {missing[0]!r}, found {sorted(map(str, item))}"
            )
        image, clean = plain(item["image"]), plain(item["label"])
        mask, label = item.get("mask"), item.get("class")
        return Sample(
            str(item["id"]),
            image,
            enlarged(image, clean),
            clean,
            None if mask is None else plain(mask),
            None if label is None else int(torch.as_tensor(label).item()),
        )


def load(run_folder: str | Path, device: str | torch.device = "cpu") -> TrainedRun:
    """Read a run back from ``models/`` and ``eval/config.json`` of its folder.

    Nothing is trained or written, no random state is touched, and the folders that the configuration names for
    weights and reports may be gone: only the data set has to be where it was. The configuration is run as any
    bundle's is, expressions included.

    Args:
        run_folder: holds ``models/{model.pt,provenance.json}``, ``recognition.pt`` beside them where the
            configuration has recognition tasks, and ``eval/config.json``. A folder without ``models/``, of an
            evaluation, has them where its configuration says.
        device: where the networks go.

    Raises:
        InputError: naming the file or key that is missing, damaged or does not fit.
    """
    folder = Path(run_folder)
    config = _read_config(folder / CONFIG)
    models = folder / "models"
    if not models.is_dir() and Path(str(config.get("ckpt_dir"))).is_dir():
        models = Path(str(config["ckpt_dir"]))  # it tested the weights of another run
    origin = provenance.read(models)
    if origin is None:
        raise InputError(f"{models / provenance.FILE_NAME}: no such file; {EXPECTED}")
    # Weights of ImageNet would be overwritten at once, and their file may be gone.
    config |= {"device": f"$torch.device('{device}')", "imagenet_weights": None}
    with torch.random.fork_rng(devices=[]):
        build = _Builder(folder / CONFIG, config)
        network = build("network")
        tasks = {task.name: task for task in build("tasks")} if "tasks" in config else None
        test_set, inferer = build("test#dataset"), build("validate#inferer")
        orientation, baselines = build.of_report("orientation", "yx"), build.of_report("baselines", {})
    check_orientation(orientation)
    _load_weights(models, network, tasks)
    # One whose package is not installed is None, and a description is none.
    baselines = {name: method for name, method in baselines.items() if callable(method)}
    return TrainedRun(folder, network, tasks or {}, test_set, inferer, orientation, baselines, origin)


def load_all(runs: Mapping[str, str | Path], device: str | torch.device = "cpu") -> dict[str, TrainedRun]:
    """Read several runs, by label.

    Raises:
        InputError: when there is none, or what :func:`load` raises.
    """
    if not runs:
        raise InputError("a figure needs at least one run, found none")
    return {label: load(folder, device) for label, folder in runs.items()}


def same_samples(runs: Mapping[str, TrainedRun], count: int) -> list[Sample]:
    """Return test images that runs have in common, for showing them side by side.

    Raises:
        InputError: when runs were tested on other images, or with other degraded ones (another seed or noise).
    """
    (first, reference), *others = runs.items()
    expected = reference.samples(count)
    for label, run in others:
        found = run.samples(count)
        for ours, theirs in zip(expected, found, strict=False):
            if ours.id != theirs.id or not _equal(ours.clean, theirs.clean):
                difference = f"test image {theirs.id!r}, expected {ours.id!r}"
            elif not _equal(ours.image, theirs.image):
                difference = f"test image {ours.id!r} degraded otherwise, expected the same degradation and seed"
            else:
                continue
            raise InputError(f"{run.folder} ({label}): found {difference} as in {reference.folder} ({first})")
        if len(found) != len(expected):
            raise InputError(f"{run.folder}: found {len(found)} test images, expected {len(expected)}")
    return expected


def any_phantom(runs: Mapping[str, TrainedRun]) -> bool:
    """Return whether a run comes from phantom data."""
    return any(run.phantom for run in runs.values())


def legend(sentences: Sequence[str], phantom: bool) -> str:
    """Join the sentences of a figure's legend, with the words that phantom data need."""
    return " ".join([*sentences, *([PHANTOM] if phantom else [])])


def _equal(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.equal(first, second)


class _Builder:
    """Builds parts of a configuration; whatever MONAI raises becomes one InputError that names file and key."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path = path
        self.config = config
        self.parser = ConfigParser(config)

    def __call__(self, key: str) -> Any:
        with self._named(key):
            return self.parser.get_parsed_content(key)

    def of_report(self, key: str, default: Any) -> Any:
        """Return what the run's own report was given."""
        handlers: Any = self.config["test"].get("handlers", ())
        for position, handler in enumerate(handlers if isinstance(handlers, Sequence) else ()):
            if isinstance(handler, Mapping) and str(handler.get("_target_")).endswith("EnhancementReport"):
                return self(f"test#handlers#{position}#{key}") if key in handler else default
        return default

    @contextmanager
    def _named(self, key: str) -> Iterator[None]:
        try:
            yield
        # A configuration may raise anything its components raise.
        except Exception as err:
            raise InputError(f"{self.path}: {key!r} cannot be built: {message_of(err)}") from err


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such file; {EXPECTED}")
    config = read_json(path, "the configuration of a run")
    for key in ("network", "test", "validate"):
        if key not in config:
            raise InputError(f"{path}: found no key {key!r}, expected the configuration of an enhancement run")
    return config


def _load_weights(folder: Path, network: nn.Module, tasks: Mapping[str, RecognitionTask] | None) -> None:
    weights.load(network, folder / weights.MODEL, EXPECTED)
    network.eval().requires_grad_(False)
    if not tasks:
        return
    weights.load({name: task.network for name, task in tasks.items()}, folder / weights.RECOGNITION, EXPECTED)
    for task in tasks.values():
        task.network.eval().requires_grad_(False)
