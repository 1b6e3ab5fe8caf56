"""One process of a data-parallel group that runs bundles in turn: ``torchrun ... -m tests.bundles.ranks CASES.json``.

A case names its configuration files, its overrides and the stages that it trains. In its output folder each rank says
in ``rank<r>.json`` what it did. One start, nearly all of it imports, serves for all cases.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from torch import nn

from shared import distributed
from shared.networks import weights


def digest(network: nn.Module) -> str:
    """Of the values of all parameters."""
    content = b"".join(p.detach().numpy().tobytes() for p in weights.unwrapped(network).parameters())
    return hashlib.sha256(content).hexdigest()


def run(files: list[str], overrides: dict[str, Any], stages: list[str]) -> dict[str, Any]:
    """Run a bundle's training; return what this rank did in each stage, and in the evaluations."""
    workflow = ConfigWorkflow(config_file=files, workflow_type="train", logging_file=False, **overrides)
    workflow.initialize()
    content = workflow.parser.get_parsed_content
    report: dict[str, Any] = {"drawn": {}, "weights": {}}

    def watch(stage: str) -> None:
        trainer = content("pretrain").trainer if stage == "pretrain" else content(f"{stage}#trainer")
        drawn = report["drawn"].setdefault(stage, [])
        trainer.add_event_handler(Events.EPOCH_STARTED, lambda: drawn.append([]))
        trainer.add_event_handler(Events.ITERATION_STARTED, lambda: drawn[-1].append(trainer.state.batch["id"]))
        # Not later: the test that closes a run loads all networks from files.
        trainer.add_event_handler(Events.COMPLETED, lambda: note(stage))

    def note(stage: str) -> None:
        networks = [name for name in ("network", "recognition", "discriminator_def") if name in workflow.parser]
        report["weights"][stage] = [digest(content(name)) for name in networks]

    for stage in stages:
        watch(stage)
    workflow.run()
    evaluated = ["test", *(["validate"] if "train" in stages else [])]
    report["evaluated"] = {name: content(f"{name}#evaluator").state.iteration for name in evaluated}
    return report


def main(path: str) -> None:
    """Run all cases of a file."""
    for case in json.loads(Path(path).read_text()):
        report = run(case["files"], case["overrides"], case["stages"])
        target = Path(case["overrides"]["output_dir"]) / f"rank{distributed.rank()}.json"
        target.write_text(json.dumps(report))
        gc.collect()
    distributed.leave()


if __name__ == "__main__":
    main(sys.argv[1])
