"""Peak memory of a training step, each measured in a process of its own."""

from __future__ import annotations

import json
import resource
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from shared.benchmark.process import run_alone
from shared.benchmark.settings import Settings
from shared.benchmark.system import System, endless_batches
from shared.benchmark.trainer import TrainerStep, build_trainer

MIB = 1024**2
STATUS = Path("/proc/self/status")


def peak_memory(rule: str, settings: Settings) -> float:
    """Return the peak in MiB of a fresh process that trains some steps with the rule on the stock trainer.

    On the CPU it is the resident set of the whole process (imports are in it for every rule alike), on CUDA what
    PyTorch allocated there.

    Raises:
        InputError: when the process fails, for example for want of memory.
    """
    title = f"peak memory of {rule!r}"
    return float(run_alone(title, "shared.benchmark.memory", rule, json.dumps(asdict(settings))))


def train_and_measure(rule: str, settings: Settings) -> float:
    """Train some steps in this process and return its peak in MiB."""
    torch.set_num_threads(settings.threads)
    trainer = build_trainer(System(settings), settings, rule, endless_batches(settings))
    step = TrainerStep(trainer)
    for _ in range(settings.memory_steps):
        step()
    step.close()
    if torch.device(settings.device).type == "cuda":
        return torch.cuda.max_memory_allocated() / MIB
    return peak_resident_set()


def peak_resident_set() -> float:
    """Peak resident set of this process in MiB."""
    # Linux hands ru_maxrss of the parent down to its children, which hides a child smaller than its parent;
    # VmHWM is the same figure, begun afresh.
    if STATUS.exists():
        for line in STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024


if __name__ == "__main__":
    print(train_and_measure(sys.argv[1], Settings(**json.loads(sys.argv[2]))))
