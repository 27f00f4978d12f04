"""Checkpoints that are whole or not there: staged, forced to disk, sealed by a manifest, renamed, then pruned.

A checkpoint is `checkpoint-N/` with the trained weights, `state.safetensors` and `state.json` (optimizer, schedule,
random generators, position), and `manifest.json`, written last, with every file's size and SHA-256.
"""

import hashlib
import json
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainer.concept import remove, replace_text, sync_directory, sync_tree
from trainer.config import TrainingConfig
from trainer.errors import CheckpointError

MANIFEST = "manifest.json"
TEMPORARY = ".tmp-"
REPLACED = ".tmp-replaced-"
IDENTITY = "run.json"
NAME = re.compile(r"checkpoint-(\d+)")
# What may differ between a run and its resumption: where things lie, how often one looks, and how far it goes.
# Photos are known by their content instead of their folder.
HARMLESS = {
    "output_dir",
    "logging_dir",
    "report_to",
    "resume_from_checkpoint",
    "max_train_steps",
    "num_train_epochs",
    "checkpointing_steps",
    "checkpoints_total_limit",
    "log_interval",
    "keep",
    "evaluation_encoder",
    "subject_encoder",
    "sample_batch_size",
    "class_guidance_scale",
    "num_class_images",
    "set_grads_to_none",
    "gradient_checkpointing",
    "instance_data_dir",
    "class_data_dir",
    "instance_prompt",
    "class_prompt",
    "concepts_list",
}


def save(
    directory: Path,
    step: int,
    write: Callable[[Path], None],
    *,
    limit: int | None = None,
    spared: int | None = None,
) -> Path:
    """Have `write` fill a side folder, then make it `directory/checkpoint-{step}` and prune to `limit` checkpoints.

    The checkpoint of step `spared` is kept beyond that limit.

    Whatever `write` raises (a full disk) is passed on after the side folder is removed; older checkpoints stay.
    """
    final = directory / f"checkpoint-{step}"
    staged = directory / f"{TEMPORARY}{final.name}"
    remove(staged)
    staged.mkdir(parents=True)
    try:
        write(staged)
        sync_tree(staged)
        replace_text(staged / MANIFEST, json.dumps(_manifest(staged, step), indent=1))
        _place(staged, final)
    finally:
        remove(staged)
    if limit is not None:
        for old in checkpoints(directory)[limit:]:
            if step_of(old) != spared:
                remove(_out_of_sight(old))
    return final


def _manifest(staged: Path, step: int) -> dict[str, Any]:
    files = sorted(path for path in staged.rglob("*") if path.is_file())
    entries = {
        path.relative_to(staged).as_posix(): {"size": path.stat().st_size, "sha256": _sha256(path)}
        for path in files
    }
    return {"step": step, "time": time.time_ns(), "files": entries}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _place(staged: Path, final: Path) -> None:
    aside = final.with_name(f"{REPLACED}{final.name}")
    if final.exists():  # a run gone back to an earlier checkpoint comes by again
        final.rename(aside)
    staged.rename(final)
    sync_directory(final.parent)
    remove(aside)


def _out_of_sight(checkpoint: Path) -> Path:
    """Rename before deleting, so that a kill leaves no half-deleted checkpoint under a checkpoint's name."""
    return checkpoint.rename(checkpoint.with_name(f"{TEMPORARY}pruned-{checkpoint.name}"))


def sweep(directory: Path) -> None:
    """Remove what a killed run left half-written; put back a checkpoint it was about to replace."""
    for aside in directory.glob(f"{REPLACED}*"):
        final = aside.with_name(aside.name.removeprefix(REPLACED))
        if NAME.fullmatch(final.name) and not final.exists():
            aside.rename(final)
    for leftover in directory.glob(f"{TEMPORARY}*"):
        if leftover.is_dir():
            remove(leftover)
        else:
            leftover.unlink()


def step_of(checkpoint: Path) -> int:
    """The N of checkpoint-N."""
    return int(checkpoint.name.rpartition("-")[2])


def checkpoints(directory: Path) -> list[Path]:
    """The checkpoint folders that have a manifest, the one written last first (not the highest number)."""
    found = [path for path in directory.glob("checkpoint-*") if NAME.fullmatch(path.name)]
    written = [
        (manifest["time"], manifest["step"], path) for path in found if (manifest := _read_manifest(path))
    ]
    return [path for _, _, path in sorted(written, reverse=True)]


def _read_manifest(checkpoint: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text())
        return manifest if {"time", "step", "files"} <= manifest.keys() else None
    except (OSError, ValueError, AttributeError):  # missing, torn, or not ours
        return None


def fault(checkpoint: Path) -> str | None:
    """Why a checkpoint cannot be used, or None when every file is as its manifest says."""
    if not checkpoint.is_dir():
        return "it is not there"
    manifest = _read_manifest(checkpoint)
    if manifest is None:
        return f"it has no readable {MANIFEST}"
    for name, entry in manifest["files"].items():
        file = checkpoint / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != entry["size"] or _sha256(file) != entry["sha256"]:
            return f"{name} is damaged"
    return None


def find(directory: Path, name: str) -> Path | None:
    """The checkpoint to resume from: a name (`checkpoint-200`), or `latest`: the newest that is whole, None if none is.

    Raises CheckpointError for a named checkpoint that is missing or damaged.
    """
    if name == "latest":
        return next((path for path in checkpoints(directory) if fault(path) is None), None)
    checkpoint = directory / Path(name).name
    reason = fault(checkpoint)
    if reason is not None:
        there = ", ".join(path.name for path in checkpoints(directory)) or "none"
        raise CheckpointError(f"{checkpoint} cannot be used: {reason}. Checkpoints there: {there}")
    return checkpoint


def write_run(checkpoint: Path, settings: dict[str, Any], photos: dict[str, str]) -> None:
    """Note what run a checkpoint is of."""
    (checkpoint / IDENTITY).write_text(json.dumps({"settings": settings, "photos": photos}, indent=1))


def read_run(checkpoint: Path) -> dict[str, Any]:
    """What the run of a checkpoint was: {"settings": ..., "photos": ...}."""
    run: dict[str, Any] = json.loads((checkpoint / IDENTITY).read_text())
    return run


def write_state(directory: Path, state: Any) -> None:
    """Write a tree of dicts, lists, numbers, strings and tensors: tensors as safetensors, the rest as JSON."""
    tensors: dict[str, Tensor] = {}
    tree = _detach(state, "", tensors, set())
    save_file(tensors, directory / "state.safetensors")
    (directory / "state.json").write_text(json.dumps(tree))


def read_state(directory: Path) -> Any:
    """The tree that `write_state` wrote; tensors on the CPU. Dict keys that were whole numbers are so again."""
    tensors = load_file(directory / "state.safetensors")
    return _attach(json.loads((directory / "state.json").read_text()), tensors)


def _detach(tree: Any, path: str, tensors: dict[str, Tensor], seen: set[int]) -> Any:
    """`tree` for JSON: each tensor goes into `tensors` and leaves its name, each dict becomes a list of pairs."""
    if isinstance(tree, Tensor):
        tensor = tree.detach().cpu().contiguous()
        if tensor.data_ptr() in seen and tensor.numel():  # bitsandbytes shares tables; safetensors does not
            tensor = tensor.clone()
        seen.add(tensor.data_ptr())
        tensors[path] = tensor
        return {"tensor": path}
    if isinstance(tree, dict):
        return {
            "dict": [[key, _detach(value, f"{path}/{key}", tensors, seen)] for key, value in tree.items()]
        }
    if isinstance(tree, (list, tuple)):
        return [_detach(value, f"{path}/{index}", tensors, seen) for index, value in enumerate(tree)]
    return tree


def _attach(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, list):
        return [_attach(value, tensors) for value in tree]
    if isinstance(tree, dict):
        if "tensor" in tree:
            return tensors[tree["tensor"]]
        return {key: _attach(value, tensors) for key, value in tree["dict"]}
    return tree


def identity(config: TrainingConfig, processes: int) -> dict[str, Any]:
    """What must be the same for a resumed run to end as the uninterrupted one would."""
    settings = config.model_dump(mode="json")
    own = {
        name: value for name, value in settings.items() if name not in HARMLESS and "validation" not in name
    }
    prompts = [[each.instance_prompt, each.class_prompt] for each in config.concepts]
    return own | {"concepts": prompts, "num_processes": processes}


def check_same(then: dict[str, Any], now: dict[str, Any], checkpoint: Path) -> None:
    """Raises CheckpointError, naming what differs, unless the two say the same."""
    keys = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
    if keys:
        told = "; ".join(f"{key} was {_short(then.get(key))}, is {_short(now.get(key))}" for key in keys[:8])
        raise CheckpointError(
            f"{checkpoint} belongs to another run: {told}{' and more' if len(keys) > 8 else ''}."
            " Go on with what it began with, or train again from the start (without resume_from_checkpoint)."
        )


def check_same_photos(then: dict[str, str], now: dict[str, str], checkpoint: Path) -> None:
    """Raises CheckpointError, naming what differs, unless it goes on with the very photos and class images."""
    gone = [f"{name} is gone" for name in sorted(then.keys() - now.keys())]
    new = [f"{name} is new" for name in sorted(now.keys() - then.keys())]
    other = [f"{name} has changed" for name in sorted(then.keys() & now.keys()) if then[name] != now[name]]
    if told := [*gone, *new, *other]:
        more = f" and {len(told) - 4} more" if len(told) > 4 else ""
        raise CheckpointError(
            f"{checkpoint} began with other pictures, so it cannot go on: {'; '.join(told[:4])}{more}."
            " Put them back as they were, or train again from the start."
        )


def _short(value: Any) -> str:
    text = "not there" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def random_state() -> dict[str, Any]:
    """The global generators of Python, numpy and torch (each GPU's too)."""
    version, numbers, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put `random_state` back."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
