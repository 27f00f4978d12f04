"""What the machine does gets a name and a way out; what is a bug stays what it is."""

import errno

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from trainer import faults
from trainer.config import training_config
from trainer.errors import OutOfMemoryError, TrainingError

CONFIG = training_config(instance_data_dir="dogs", instance_prompt="sks dog", output_dir="concept")


def test_full_disk_as_python_says_it() -> None:
    with pytest.raises(OSError, match="No space") as caught, open("/dev/full", "wb", buffering=0) as stream:
        stream.write(b"x")
    named = faults.named(caught.value, CONFIG)
    assert isinstance(named, TrainingError)
    assert "the disk that holds concept is full" in str(named)


def test_full_disk_as_safetensors_says_it() -> None:
    error = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert "is full" in str(faults.named(error, CONFIG))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_out_of_memory_names_the_leaner_settings(error: Exception) -> None:
    assert isinstance(faults.named(error, CONFIG), OutOfMemoryError)
    assert str(faults.named(error, CONFIG)) == (
        "out of memory. Leaner settings: gradient_checkpointing, use_8bit_adam, mixed_precision,"
        " a smaller train_batch_size, method lora."
    )
    lean = CONFIG.model_copy(
        update={
            "gradient_checkpointing": True,
            "use_8bit_adam": True,
            "mixed_precision": "fp16",
            "train_batch_size": 1,
            "method": "lora",
        }
    )
    assert str(faults.named(error, lean)) == "out of memory. Leaner settings: a smaller resolution."


def test_others_stay_themselves() -> None:
    for error in (ValueError("a bug"), OSError(errno.EACCES, "Permission denied")):
        assert faults.named(error, CONFIG) is error


def test_safetensors_tells_a_full_disk_in_these_words(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """The words that `named` looks for, from safetensors itself, where a write fails."""
    with pytest.raises((SafetensorError, OSError)) as caught:
        save_file({"a": torch.zeros(100000)}, "/dev/full/x")
    assert "os error" in str(caught.value) or caught.value.args
