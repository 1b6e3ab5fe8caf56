"""Measure speed and memory (once `shared` is installed).

python scripts/benchmark.py [--check]           training steps of GradProm against others, enhancement of a volume
python scripts/benchmark.py --large-image       enhancement of an image of 20,000 x 20,000 pixels
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from shared.benchmark import large_image
from shared.benchmark.figures import Bound, Figure, figure_rows, figure_to_json, missed, time_rows
from shared.benchmark.large_image import LargeSettings, compare_runs, measure_large_image, run_rows
from shared.benchmark.measure import measure, surroundings
from shared.benchmark.settings import Settings, quick
from shared.bundle import provenance
from shared.distributed import usable_cores
from shared.errors import InputError
from shared.reporting.tables import text_table


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    defaults = Settings()
    parser = argparse.ArgumentParser(
        description="Measure speed and memory of GradProm, as ratios from interleaved medians inside one run: "
        f"SR-ResNet 16x64 and ResNet-50, {defaults.image_size}x{defaults.image_size} crops, Adam for both; then of the "
        f"enhancement of a volume, {defaults.volume_size}x{defaults.volume_size} slices by a RIR generator."
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to train (default: cpu)")
    parser.add_argument("--check", action="store_true", help="exit with code 1 and name the bounds that are missed")
    parser.add_argument("--quick", action="store_true", help="tiny networks and few rounds: shows that it runs")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write every figure to this file")
    parser.add_argument("--threads", type=int, metavar="N", help="threads on the CPU (default: all cores)")
    parser.add_argument("--batch-size", type=int, metavar="N", help=f"default: {defaults.batch_size}")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"rounds that count (default: {defaults.rounds})")
    parser.add_argument(
        "--large-image", type=int, nargs="?", const=LargeSettings.size, metavar="SIZE",
        help="enhance a TIFF image of SIZE x SIZE pixels instead, by a small SR-ResNet: time, and memory beside that "
        f"of an image of fewer rows (default: {LargeSettings.size}); source and result lie in the folder for temporary "
        "files (TMPDIR) meanwhile",
    )  # fmt: skip
    parser.add_argument("--rgb", action="store_true", help="with --large-image: three channels")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    options = parser.parse_args(arguments)
    for name in ("threads", "batch_size", "rounds", "large_image"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')}: found {value}, expected at least 1")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: found no CUDA device, expected one; leave the option out to measure on the CPU")
    return options


def choose_settings(options: argparse.Namespace) -> Settings:
    """Return the settings that the options ask for."""
    threads = options.threads or usable_cores()
    settings = quick(options.device, threads) if options.quick else Settings(options.device, threads)
    chosen = {name: getattr(options, name) for name in ("batch_size", "rounds") if getattr(options, name) is not None}
    return dataclasses.replace(settings, **chosen)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write the file; return the exit code."""
    options = parse(arguments)
    if options.large_image is not None:
        return measure_large(options)
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
    times = [time_rows("training step", result.seconds), time_rows("volume", result.volume)]
    tables = [*times, memory, figure_rows(result.figures)]
    return _report(options, began, tables, result.to_json(), result.figures)


def measure_large(options: argparse.Namespace) -> int:
    """Enhance a large image, print the tables, write the file; return the exit code."""
    channels, threads = 3 if options.rgb else 1, options.threads or usable_cores()
    settings = LargeSettings(options.large_image, channels, options.device, threads)
    began = time.perf_counter()
    print(f"{settings.device}, {threads} threads, {settings.size} x {settings.size} x {channels}", flush=True)
    try:
        runs = measure_large_image(settings, lambda line: print(f"  {line}", flush=True))
    except InputError as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    figures, bounds = compare_runs(*runs), large_image.BOUNDS
    content = {
        **surroundings(settings.device),
        "settings": dataclasses.asdict(settings),
        "runs": [dataclasses.asdict(run) for run in runs],
        "figures": {figure.name: figure_to_json(figure, bounds) for figure in figures},
    }
    return _report(options, began, [run_rows(runs), figure_rows(figures, bounds)], content, figures, bounds)


def _report(
    options: argparse.Namespace,
    began: float,
    tables: Sequence[Sequence[Sequence[str]]],
    content: dict[str, Any],
    figures: Sequence[Figure],
    bounds: Mapping[str, Bound] | None = None,
) -> int:
    """Print tables, write what was found, compare with the bounds; return the exit code."""
    for rows in tables:
        print(f"\n{text_table(rows, markdown=options.markdown)}")
    print(f"\n{time.perf_counter() - began:.0f} s in all")
    if options.out is not None:
        provenance.write_json(content, options.out)
        print(f"wrote {options.out}")
    lines = missed(figures, bounds) if options.check else []
    for line in lines:
        print(f"bound missed: {line}", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
