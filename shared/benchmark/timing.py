"""Times that are comparable although the machine does other things too."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch


def synchronize(device: str) -> None:
    """Wait until the device has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def interleave(
    variants: Mapping[str, Callable[[], None]],
    rounds: int,
    warmup_rounds: int,
    device: str,
    progress: Callable[[str], None],
) -> dict[str, list[float]]:
    """Return seconds per variant, one per round.

    A round times every variant once, so that a slow minute slows all of them; each round begins with another one.

    Args:
        variants: what to call, by name.
        rounds: rounds that count.
        warmup_rounds: rounds before these, in which memory is claimed and optimizers make their state.
        device: waited for before and after each call.
        progress: told one line per round.
    """
    names = list(variants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for index in range(warmup_rounds + rounds):
        began = time.perf_counter()
        first = index % len(names)
        for name in names[first:] + names[:first]:
            synchronize(device)
            start = time.perf_counter()
            variants[name]()
            synchronize(device)
            if index >= warmup_rounds:
                seconds[name].append(time.perf_counter() - start)
        label = "warm-up round" if index < warmup_rounds else "round"
        progress(f"{label} {index + 1} of {warmup_rounds + rounds}: {time.perf_counter() - began:.1f} s")
    return seconds
