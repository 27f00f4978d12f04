"""What the pretraining stages share: a state that survives a kill, and a learning rate known from the step alone."""

import math
import os
from pathlib import Path

import torch
from torch import nn


def save_state(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, ema: nn.Module | None = None
) -> None:
    """Writes beside `path` and renames: a kill leaves the state before."""
    staged = path.with_suffix(".staged")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    if ema is not None:
        state["ema"] = ema.state_dict()
    torch.save(state, staged)
    os.replace(staged, path)


def load_state(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, ema: nn.Module | None = None
) -> int:
    """Restores what is there; returns the number of steps done, 0 without a file."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    if ema is not None:
        ema.load_state_dict(state["ema"])
    return int(state["step"])


def set_learning_rate(
    optimizer: torch.optim.Optimizer, peak: float, step: int, steps: int, *, warmup: int, floor: float = 0.01
) -> None:
    """Linear over `warmup` steps, then a cosine to `floor` times the peak at `steps`."""
    rate = peak * min(1.0, (step + 1) / warmup) * max(0.5 * (1 + math.cos(math.pi * step / steps)), floor)
    for group in optimizer.param_groups:
        group["lr"] = rate
