"""An optimizer's step that depends on a flag which lies on the device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer


class ConditionalStep:
    """Step an optimizer where a flag is true, and leave parameters and state as they are where it is false.

    Both are exact, and neither waits for the device:

    - On a CPU nothing is waited for; an optimizer that may not step is not called.
    - A fused optimizer skips by itself, told so as by a GradScaler.
    - Another one of :mod:`torch.optim` steps, and gets back its old parameters and state where it should not have.
      Numbers of steps, which it keeps in main memory, are put right before they are used again: at the next step, or
      when its state is asked for; by then the flag has arrived there.

    The first step, in which an optimizer makes its state, waits for the flag; so does every step of LBFGS, of an
    optimizer that is not PyTorch's, and of one whose state is not made of tensors.

    Args:
        optimizer: may be one that other code steps as well.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self._ready: set[int] = set()
        self._counts: list[tuple[Tensor, Tensor]] = []
        self._arrived: tuple[Tensor, torch.Event | None] | None = None
        optimizer.register_state_dict_pre_hook(self._settle)

    def __call__(self, allowed: Tensor) -> None:
        """Step where ``allowed``, a boolean tensor without dimensions, is true."""
        if _is_at_hand(allowed):
            if allowed.numpy():
                self.optimizer.step()
            return
        self._settle()
        stepped = [p for group in self.optimizer.param_groups for p in group["params"] if p.grad is not None]
        ids = {id(p) for p in stepped}
        if not ids <= self._ready or not self._can_go_back(stepped):
            if bool(allowed):
                self.optimizer.step()
                self._ready |= ids
        elif all(group.get("fused") for group in self.optimizer.param_groups):
            self._let_it_skip(allowed)
        else:
            self._go_back_unless(allowed, stepped)

    def _can_go_back(self, parameters: list[Tensor]) -> bool:
        if isinstance(self.optimizer, LBFGS) or not type(self.optimizer).__module__.startswith("torch.optim."):
            return False
        values = [value for p in parameters for value in self.optimizer.state.get(p, {}).values()]
        return all(value is None or isinstance(value, Tensor) for value in values)

    def _let_it_skip(self, allowed: Tensor) -> None:
        optimizer: Any = self.optimizer
        optimizer.grad_scale, optimizer.found_inf = None, (~allowed).float()
        try:
            optimizer.step()
        finally:
            del optimizer.grad_scale, optimizer.found_inf

    def _go_back_unless(self, allowed: Tensor, parameters: list[Tensor]) -> None:
        state = [value for p in parameters for value in self.optimizer.state.get(p, {}).values()]
        tensors = [t.detach() for t in (*parameters, *state) if isinstance(t, Tensor)]
        there = [t for t in tensors if not _is_elsewhere(t, allowed)]
        before = [t.clone() for t in there]
        counts = [(t, t.clone()) for t in tensors if _is_elsewhere(t, allowed)]
        self.optimizer.step()
        for new, old in zip(there, before, strict=True):
            torch.where(allowed, new, old, out=new)
        if counts:
            event = None if allowed.device.type == "cpu" else torch.Event(allowed.device)
            self._counts, self._arrived = counts, (allowed.to("cpu", non_blocking=True), event)
            if event is not None:
                event.record()

    def _settle(self, optimizer: Optimizer | None = None) -> None:
        """Put right the numbers of steps that lie in main memory."""
        if self._arrived is None:
            return
        allowed, event = self._arrived
        if event is not None:
            event.synchronize()
        if not allowed.numpy():
            for new, old in self._counts:
                new.copy_(old)
        self._counts, self._arrived = [], None


def _is_at_hand(flag: Tensor) -> bool:
    """Whether a flag can be read without waiting for a device."""
    return flag.device.type == "cpu"


def _is_elsewhere(tensor: Tensor, flag: Tensor) -> bool:
    return tensor.device != flag.device
