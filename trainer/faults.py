"""What the machine does to a training, in words that help."""

import errno

import torch
from safetensors import SafetensorError

from trainer.config import TrainingConfig
from trainer.errors import OutOfMemoryError, TrainingError


def named(error: Exception, config: TrainingConfig) -> Exception:
    """The TrainingError for a full disk or too little memory, else the error itself."""
    text = str(error)
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    if full or (
        isinstance(error, (SafetensorError, OSError, RuntimeError)) and "No space left on device" in text
    ):
        return TrainingError(
            f"the disk that holds {config.output_dir} is full; earlier checkpoints are whole. Free some space"
            " (or set checkpoints_total_limit) and go on from the newest checkpoint (resume_from_checkpoint latest)."
        )
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in text:
        leaner = {
            "gradient_checkpointing": not config.gradient_checkpointing,
            "use_8bit_adam": not config.use_8bit_adam,
            "mixed_precision": config.mixed_precision == "no",
            "a smaller train_batch_size": config.train_batch_size > 1,
            "method lora": config.method == "full",
        }
        ways = ", ".join(name for name, useful in leaner.items() if useful) or "a smaller resolution"
        return OutOfMemoryError(f"out of memory. Leaner settings: {ways}.")
    return error
