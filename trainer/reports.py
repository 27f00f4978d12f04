"""How a training tells of itself: the mean loss, the learning rate, the pace, the memory."""

import math
import resource
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer.concept import OnEvent
from trainer.config import TrainingConfig
from trainer.errors import TrainingError


def memory(device: torch.device) -> int:
    """The most memory used so far, in bytes: the GPU's, or this process's on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def board(config: TrainingConfig, log: Callable[[str], None]) -> Any:
    """TensorBoard's writer, or None where it is not wanted, or (with a line to `log`) not installed."""
    if config.report_to != "tensorboard":
        return None
    if find_spec("tensorboard") is None:
        return log("report_to: tensorboard is not installed; pip install tensorboard, or set none")
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(Path(config.output_dir) / config.logging_dir))


class Reports:
    """Sums losses up on their device and tells their mean when asked, to events and to TensorBoard."""

    def __init__(
        self, events: OnEvent, board: Any, device: torch.device, reduce: Callable[[Tensor], Tensor], step: int
    ) -> None:
        self.events, self.board, self.device, self.reduce = events, board, device, reduce
        self.loss_sum = torch.zeros((), device=device)
        self.told, self.clock = step, time.perf_counter()

    def add(self, value: Tensor) -> None:
        """Add one batch's share of a step's loss, without waiting for it."""
        self.loss_sum += value.detach()

    def pause(self, seconds: float) -> None:
        """Leave out of the pace what was not training."""
        self.clock += seconds

    def tell(self, step: int, total: int, learning_rate: float) -> None:
        """Tell the mean over the steps since the last call. Raises TrainingError where the loss is not finite."""
        steps, seconds = step - self.told, time.perf_counter() - self.clock
        value = float(self.reduce(self.loss_sum).item()) / steps
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss is {value} by step {step}; nothing was published. Use a lower learning_rate, or"
                " mixed_precision no; earlier checkpoints can be resumed from."
            )
        self.loss_sum.zero_()
        self.told, self.clock = step, time.perf_counter()
        told = {"loss": value, "learning_rate": learning_rate, "steps_per_second": steps / seconds}
        used = memory(self.device)
        self.events({"event": "step", "step": step, "total": total, **told, "memory": used})
        if self.board is not None:
            for name, number in told.items():
                self.board.add_scalar(name, number, step)
