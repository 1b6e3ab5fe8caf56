"""Measure speed and memory of GradProm: python scripts/benchmark.py [--check] (once `shared` is installed)."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from shared import provenance
from shared.benchmark.figures import figure_rows, missed, step_rows, table
from shared.benchmark.measure import measure
from shared.benchmark.settings import Settings, quick
from shared.errors import InputError


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    defaults = Settings()
    parser = argparse.ArgumentParser(
        description="Measure speed and memory of GradProm, as ratios from interleaved medians inside one run: "
        f"SR-ResNet 16x64 and ResNet-50, {defaults.image_size}x{defaults.image_size} crops, Adam for both."
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to train (default: cpu)")
    parser.add_argument("--check", action="store_true", help="exit with code 1 and name the bounds that are missed")
    parser.add_argument("--quick", action="store_true", help="tiny networks and few rounds: shows that it runs")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write every figure to this file")
    parser.add_argument("--threads", type=int, metavar="N", help="threads on the CPU (default: all cores)")
    parser.add_argument("--batch-size", type=int, metavar="N", help=f"default: {defaults.batch_size}")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"rounds that count (default: {defaults.rounds})")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    options = parser.parse_args(arguments)
    for name in ("threads", "batch_size", "rounds"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')}: found {value}, expected at least 1")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: found no CUDA device, expected one; leave the option out to measure on the CPU")
    return options


def choose_settings(options: argparse.Namespace) -> Settings:
    """Return the settings that the options ask for."""
    threads = options.threads or _cores()
    settings = quick(options.device, threads) if options.quick else Settings(options.device, threads)
    chosen = {name: getattr(options, name) for name in ("batch_size", "rounds") if getattr(options, name) is not None}
    return dataclasses.replace(settings, **chosen)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write the file; return the exit code."""
    options = parse(arguments)
    settings = choose_settings(options)
    began = time.perf_counter()
    hint = "" if options.quick else " (this takes minutes; other work on the machine makes it slower)"
    print(f"{settings.device}, {settings.threads} threads, batch {settings.batch_size}{hint}", flush=True)
    try:
        result = measure(settings, lambda line: print(f"  {line}", flush=True))
    except InputError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    memory = [["peak memory", "MiB"]]
    memory += [[rule, ", ".join(f"{peak:.0f}" for peak in peaks)] for rule, peaks in result.memory.items()]
    for rows in (step_rows(result.seconds), memory, figure_rows(result.figures)):
        print(f"\n{table(rows, options.markdown)}")
    print(f"\n{time.perf_counter() - began:.0f} s in all")
    if options.out is not None:
        provenance.write_json(result.to_json(), options.out)
        print(f"wrote {options.out}")
    lines = missed(result.figures) if options.check else []
    for line in lines:
        print(f"bound missed: {line}", file=sys.stderr)
    return 1 if lines else 0


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
