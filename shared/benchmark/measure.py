"""Everything that the benchmark measures, in order."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from shared.benchmark import handwritten
from shared.benchmark.adversarial import AdversarialLoop, Game, adversarial_trainer, pairs
from shared.benchmark.figures import Figure, figure_to_json, ratio
from shared.benchmark.loading import Waiting, measure_waiting
from shared.benchmark.memory import peak_memory
from shared.benchmark.settings import Settings
from shared.benchmark.system import System, endless_batches
from shared.benchmark.timing import interleave
from shared.benchmark.trainer import TrainerStep, build_trainer
from shared.benchmark.volume import ALONE, SLICE_BY_SLICE, measure_volume, peak_memory_of_volume
from shared.bundle import provenance

Progress = Callable[[str], None]
Seconds = dict[str, list[float]]
MEMORY_RULES = ("joint", "gradprom")


@dataclass(frozen=True)
class Result:
    """What one run of the benchmark found.

    Attributes:
        settings: sizes and repeats.
        seconds: per variant, one time per round.
        waiting: of the data loader.
        memory: peaks in MiB per rule and per volume, one per process.
        volume: seconds of a volume's enhancement and of its network alone, one time per round.
        figures: the ratios.
    """

    settings: Settings
    seconds: Seconds
    waiting: Waiting
    memory: dict[str, list[float]]
    volume: Seconds
    figures: list[Figure]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON types."""
        return {
            **surroundings(self.settings.device),
            "settings": asdict(self.settings),
            "seconds": self.seconds,
            "waiting": asdict(self.waiting),
            "memory_mib": self.memory,
            "volume_seconds": self.volume,
            "figures": {figure.name: figure_to_json(figure) for figure in self.figures},
        }


def measure(settings: Settings, progress: Progress) -> Result:
    """Measure memory, steps, waiting and a volume, in this order: processes start while this one is still small."""
    torch.set_num_threads(settings.threads)
    memory: dict[str, list[float]] = {rule: [] for rule in MEMORY_RULES}
    for run in range(settings.memory_runs):
        for rule in MEMORY_RULES:
            memory[rule].append(peak_memory(rule, settings))
            progress(f"memory {run + 1} of {settings.memory_runs}, {rule}: {memory[rule][-1]:.0f} MiB")
    for slices in (settings.volume_few, settings.volume_many):
        title = _volume(slices)
        memory[title] = [peak_memory_of_volume(slices, settings)]
        progress(f"memory, {title}: {memory[title][0]:.0f} MiB")
    seconds = measure_steps(settings, progress)
    waiting = measure_waiting(settings)
    progress(f"waiting for data: {len(waiting.waiting)} steps, {waiting.num_workers} workers")
    volume = measure_volume(settings, lambda line: progress(f"volume, {line}"))
    figures = [*compare(seconds, waiting, memory), *compare_volumes(settings, volume, memory)]
    return Result(settings, seconds, waiting, memory, volume, figures)


def measure_steps(settings: Settings, progress: Progress) -> Seconds:
    """Return the seconds of every variant of a training step, one per round."""
    variants = build_variants(settings)
    if "TorchJD" not in variants:
        progress("TorchJD is not installed (pip install torchjd): the comparison with it is left out")
    try:
        return interleave(variants, settings.rounds, settings.warmup_rounds, settings.device, progress)
    finally:
        for step in variants.values():
            if isinstance(step, TrainerStep):
                step.close()


def build_variants(settings: Settings, weight: float | None = None) -> dict[str, Callable[[], None]]:
    """Return training steps by name, each with networks, optimizers and batches of its own.

    Args:
        settings: sizes.
        weight: lambda; None: that of the bundles.
    """

    def system(trainable: bool = True) -> System:
        return System(settings, trainable) if weight is None else System(settings, trainable, weight)

    def trainer(rule: str) -> TrainerStep:
        trained = system(rule != "frozen")
        return TrainerStep(build_trainer(trained, settings, rule, endless_batches(settings)))

    variants: dict[str, Callable[[], None]] = {
        "GradProm, trainer": trainer("gradprom"),
        "joint, trainer": trainer("joint"),
        "joint, by hand": handwritten.SumOfLosses(system(), endless_batches(settings)),
        "frozen, trainer": trainer("frozen"),
        "frozen, by hand": handwritten.SumOfLosses(system(False), endless_batches(settings)),
        "GradProm, by hand": handwritten.BareGradProm(system(), endless_batches(settings)),
        "three passes": handwritten.ThreePasses(system(), endless_batches(settings)),
        "three passes, one graph": handwritten.ThreePassesOneGraph(system(), endless_batches(settings)),
        "adversarial, trainer": TrainerStep(adversarial_trainer(Game(settings), settings)),
        "adversarial, by hand": AdversarialLoop(Game(settings), pairs(settings)),
    }
    if importlib.util.find_spec("torchjd") is not None:
        from shared.benchmark.torchjd_step import TorchJDStep

        variants["TorchJD"] = TorchJDStep(system(), endless_batches(settings), None)
        variants["TorchJD, row by row"] = TorchJDStep(system(), endless_batches(settings), 1)
    return variants


def compare(seconds: Seconds, waiting: Waiting, memory: dict[str, list[float]]) -> list[Figure]:
    """Return the figures, those with a bound and those without."""
    s = seconds
    gradprom = s["GradProm, trainer"]
    workers = f"{waiting.num_workers} workers"
    figures = [
        ratio("gradprom_over_joint", "GradProm / joint, both on the trainer", gradprom, s["joint, trainer"]),
        ratio("three_passes_over_gradprom", "three passes / GradProm on the trainer", s["three passes"], gradprom),
        ratio("one_graph_over_gradprom", "three passes through one graph / GradProm on the trainer",
              s["three passes, one graph"], gradprom),
        ratio("joint_over_loop", "joint: trainer / hand-written loop", s["joint, trainer"], s["joint, by hand"]),
        ratio("frozen_over_loop", "frozen: trainer / hand-written loop", s["frozen, trainer"], s["frozen, by hand"]),
        ratio("adversarial_over_loop", "adversarial: trainer / hand-written loop", s["adversarial, trainer"],
              s["adversarial, by hand"]),
        ratio("trainer_overhead", "GradProm: trainer / by hand - 1", gradprom, s["GradProm, by hand"], minus=1.0),
        ratio("waiting_share", f"waiting for data / training step ({workers})", waiting.waiting, waiting.training),
        ratio("memory_over_joint", "peak memory: GradProm / joint", memory["gradprom"], memory["joint"]),
    ]  # fmt: skip
    if "TorchJD" in s:
        figures[1:1] = [
            ratio("gradprom_over_torchjd", "GradProm on the trainer / TorchJD", gradprom, s["TorchJD"]),
            ratio("gradprom_over_torchjd_rows", "GradProm on the trainer / TorchJD, row by row", gradprom,
                  s["TorchJD, row by row"]),
        ]  # fmt: skip
    return figures


def compare_volumes(settings: Settings, volume: Seconds, memory: dict[str, list[float]]) -> list[Figure]:
    """Return the figures of a volume that is enhanced slice by slice."""
    few, many = settings.volume_few, settings.volume_many
    return [
        ratio("volume_throughput", "volume: network alone / slice by slice", volume[ALONE], volume[SLICE_BY_SLICE]),
        ratio("volume_memory", f"peak memory: {many} slices / {few}", memory[_volume(many)], memory[_volume(few)]),
    ]


def _volume(slices: int) -> str:
    return f"volume of {slices} slices"


def surroundings(device: str) -> dict[str, Any]:
    """Return versions and machine, which every figure depends on, as JSON types."""
    return {"versions": _versions(), "machine": _machine(device)}


def _versions() -> dict[str, str | None]:
    torchjd = version("torchjd") if importlib.util.find_spec("torchjd") is not None else None
    return {**provenance.versions(), "torchjd": torchjd}


def _machine(device: str) -> dict[str, str]:
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = models[0] if models else name
    machine = {"platform": platform.platform(), "processor": name, "device": device}
    if torch.device(device).type == "cuda":
        machine["gpu"] = torch.cuda.get_device_name()
    return machine
