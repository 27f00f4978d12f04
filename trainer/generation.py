"""Images out of a pipeline: class images to train with, samples of a concept to look at."""

import hashlib
import itertools
import json
import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors import SafetensorError
from torch import Tensor

from trainer import concept, metadata, models, photos
from trainer.config import GenerationConfig
from trainer.errors import ConceptError, ModelError, PhotoError
from trainer.sampling import ShouldStop as ShouldStop
from trainer.sampling import (
    decoded,
    image_seed,
    image_size,
    sample,
    say_truncation,
    scheduler_named,
    using_scheduler,
)

logger = logging.getLogger(__name__)

OnEvent = Callable[[dict[str, Any]], None]
OnStep = Callable[[int, int], None]
OnPreview = Callable[[int, list[Image.Image]], None]

CLASS_GUIDANCE_SCALE = 7.5  # StableDiffusionPipeline's default, which diffusers' train_dreambooth.py uses
CLASS_INFERENCE_STEPS = 20  # enough for DPM-Solver++ (arXiv:2211.01095, section 7)
CLASS_RECORD = "class-images.json"
STALE_SECONDS = 60  # writing one image takes milliseconds: an older temporary is of a run that was killed
PREVIEW_STEPS = 5  # decoding takes about as long as a step: one in five costs a fifth
MAX_BATCH_SIZE = 8
MAX_BATCH_PIXELS = 4 * 512 * 512  # sampled at once; SD 1.5 then fits a 16 GB GPU in fp16


def generate(
    pipeline: StableDiffusionPipeline,
    config: GenerationConfig,
    on_step: OnStep | None = None,
    should_stop: ShouldStop | None = None,
    on_preview: OnPreview | None = None,
) -> list[Image.Image]:
    """Sample config.num_samples RGB images, of the base's own size where config gives none.

    Image i is drawn from a CPU generator seeded by `image_seed(config.seed, i)`, whatever num_samples and the
    device; only the rounding of batched arithmetic can move a pixel (by one grey level). `on_step(done, total)`
    counts denoising steps over all batches; `on_preview(first, images)` now and then gets the unfinished images of
    the batch that starts at image `first`. Once `should_stop()` is true, the images finished by then are
    returned. The pipeline's scheduler is put back afterwards.
    Raises ConfigError for a size the model cannot make, ModelError when the result is not finite.
    """
    height, width = image_size(pipeline, config.height, config.width)
    say_truncation(pipeline, config.prompt)
    say_truncation(pipeline, config.negative_prompt)
    batch_size = max(1, min(MAX_BATCH_SIZE, MAX_BATCH_PIXELS // (height * width)))
    starts = range(0, config.num_samples, batch_size)
    total = len(starts) * config.num_inference_steps
    counter = itertools.count(1)

    def count_step(latents: Tensor) -> None:
        done = min(next(counter), total)  # PNDM takes one step more than it is asked for
        if on_step:
            on_step(done, total)
        if on_preview and done % PREVIEW_STEPS == 0:
            on_preview(start, decoded(pipeline, latents))

    images: list[Image.Image] = []
    with using_scheduler(pipeline, scheduler_named(pipeline.scheduler, config.scheduler)):
        for start in starts:
            indices = range(start, min(start + batch_size, config.num_samples))
            batch = sample(
                pipeline,
                config.prompt,
                [image_seed(config.seed, i) for i in indices],
                negative_prompt=config.negative_prompt,
                height=height,
                width=width,
                guidance_scale=config.guidance_scale,
                num_inference_steps=config.num_inference_steps,
                on_step=count_step,
                should_stop=should_stop,
            )
            images.extend(batch)
            if len(batch) < len(indices):
                break
    return images


def class_images(
    pipeline: StableDiffusionPipeline,
    prompt: str,
    count: int,
    directory: Path,
    *,
    batch_size: int,
    resolution: int,
    seed: int,
    num_inference_steps: int = CLASS_INFERENCE_STEPS,
    guidance_scale: float = CLASS_GUIDANCE_SCALE,
    instance_data_dirs: Sequence[str | Path] = (),
    on_event: OnEvent | None = None,
    should_stop: ShouldStop | None = None,
) -> list[Path]:
    """Top `directory` up to `count` images of the class, resolution x resolution pixels; the first `count`, sorted.

    What is already there counts, whoever made it. Image i is seeded seed + i and named class-00000i.png; an
    index is used once, so that an image which a user removed does not come back. Each appears whole or not at
    all, and a killed run goes on to the same images. Sends {"event": "phase", "phase": "class_images", "done",
    "total"}. Once `should_stop()` is true, returns what is there, which may be fewer.
    Raises PhotoError where the photos of a subject (`instance_data_dirs`) are in the same folder.
    """
    directory = Path(directory)
    _keep_apart(directory, instance_data_dirs)
    directory.mkdir(parents=True, exist_ok=True)
    _sweep(directory)
    height, width = image_size(pipeline, resolution, resolution)
    first = _next_index(directory, prompt)
    missing = missing_class_images(directory, count)
    if not missing:
        return photos.list_photos(directory)[:count]
    end = first + missing
    say_truncation(pipeline, prompt)
    with using_scheduler(pipeline, models.fast_scheduler(pipeline.scheduler)):
        # Batches start at multiples of batch_size, so that a resumed run rounds like an uninterrupted one.
        for start in range(first - first % batch_size, end, batch_size):
            indices = range(start, min(start + batch_size, end))
            images = sample(
                pipeline,
                prompt,
                [image_seed(seed, index) for index in indices],
                height=height,
                width=width,
                guidance_scale=guidance_scale,
                num_inference_steps=num_inference_steps,
                should_stop=should_stop,
            )
            if not images:
                break
            for index, image in zip(indices, images, strict=True):
                if index >= first:
                    _write_whole(directory / f"class-{index:06d}.png", _png(image))
            record = {"class_prompt": prompt, "next_index": indices.stop}
            _write_whole(directory / CLASS_RECORD, json.dumps(record).encode())
            if on_event:
                done = count - (end - indices.stop)
                on_event({"event": "phase", "phase": "class_images", "done": done, "total": count})
    return photos.list_photos(directory)[:count]


def missing_class_images(directory: Path, count: int) -> int:
    """How many images `class_images` would make."""
    return max(0, count - len(photos.list_photos(directory))) if Path(directory).is_dir() else count


def cull_class_image(directory: Path, name: str) -> None:
    """Delete one class image by its name; the next start makes another in its place, of another seed.

    Raises PhotoError for a name that is not one of `photos.list_photos(directory)`.
    """
    for path in photos.list_photos(directory):
        if path.name == name:
            return path.unlink(missing_ok=True)  # gone already is as well
    raise PhotoError(f"There is no class image called {photos.safe_name(name)}.")


def class_images_directory(
    root: Path,
    *,
    base: str,
    revision: str | None,
    class_prompt: str,
    resolution: int,
    seed: int,
    variant: str | None = None,
    vae: str | None = None,
    sampler: str = "dpm++",
    num_inference_steps: int = CLASS_INFERENCE_STEPS,
    guidance_scale: float = CLASS_GUIDANCE_SCALE,
) -> Path:
    """The folder under `root` that concepts with the same base and class share; everything that shapes an image is key.

    A base in a local folder is known by its weights, not its path: trained again in place, it gets a new folder.
    """
    key = {
        "base": _fingerprint(base),
        "revision": revision,
        "variant": variant,
        "vae": vae and _fingerprint(vae),
        "class_prompt": class_prompt,
        "resolution": resolution,
        "sampler": sampler,
        "num_inference_steps": num_inference_steps,
        "guidance_scale": guidance_scale,
        "seed": seed,
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    slug = re.sub(r"[^a-z0-9]+", "-", class_prompt.lower()).strip("-")[:40].strip("-")
    return Path(root) / f"{slug or 'class'}-{resolution}px-{digest[:10]}"


def _fingerprint(model: str) -> str:
    """A Hub id as it is; for a local folder a hash of its weights."""
    folder = Path(model)
    if not folder.is_dir():
        return model
    places = (folder, *(folder / part for part in models.WEIGHTED_PARTS))
    files = sorted(file for place in places for file in place.glob("*.safetensors"))
    return _hashed(folder, tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=8)
def _hashed(folder: Path, files: tuple[tuple[Path, int, int], ...]) -> str:
    """Read once while sizes and times stay: a page that shows class images asks for their folder often."""
    digest = hashlib.sha256()
    for file, _, _ in files:
        with file.open("rb") as stream:
            digest.update(str(file.relative_to(folder)).encode())
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _keep_apart(directory: Path, instance_data_dirs: Sequence[str | Path]) -> None:
    for instances in instance_data_dirs:
        if directory.resolve() == Path(instances).resolve():
            raise PhotoError(
                f"{directory}: class_data_dir is also instance_data_dir; "
                "class images must not be mixed with photos, so give them a folder of their own"
            )


def _sweep(directory: Path) -> None:
    for leftover in directory.glob(".class-*.part"):
        with suppress(FileNotFoundError):  # another run, topping up the same folder, has just renamed it
            if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
                leftover.unlink()


def _next_index(directory: Path, prompt: str) -> int:
    """One past the highest index ever used here."""
    names = (re.fullmatch(r"class-(\d{6,})\.png", path.name) for path in directory.iterdir())
    used = [int(name[1]) for name in names if name]
    record = directory / CLASS_RECORD
    if record.exists():
        try:
            known = json.loads(record.read_text())
            used.append(int(known["next_index"]) - 1)
        except (ValueError, KeyError, TypeError) as error:
            raise PhotoError(f"{record}: unreadable ({error}); delete it and run again") from error
        if known.get("class_prompt") not in (None, prompt):
            logger.warning("%s holds images of %r, not %r", directory, known["class_prompt"], prompt)
    return max(used, default=-1) + 1


def _write_whole(path: Path, data: bytes) -> None:
    """Write aside, to disk, then rename: a kill leaves the whole file or none."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    with aside.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(path)


def load_concept(
    directory: str | Path,
    *,
    torch_dtype: torch.dtype = torch.float32,
    device: str | torch.device | None = None,
) -> StableDiffusionPipeline:
    """The pipeline of a finished concept, full or LoRA; also of a base model, by folder or Hub id.

    On the GPU by default, where there is one. Raises ConceptError for a concept that is missing, unfinished, or
    does not fit its base; ModelError where the model itself cannot be loaded.
    """
    folder = Path(directory)
    if folder.is_dir() and not concept.has_weights(folder):
        raise ConceptError(_unfinished(folder))
    if (folder / concept.LORA_FILE).is_file():
        pipeline = _load_lora(folder, torch_dtype)
    else:
        try:
            pipeline = models.load_pipeline(str(directory), torch_dtype=torch_dtype)
        except ModelError as error:
            if folder.is_dir():
                raise
            raise ConceptError(f"there is no such concept, and no such model: {error}") from error
    return pipeline.to(_device(device))


def load_base(
    directory: str | Path,
    *,
    torch_dtype: torch.dtype = torch.float32,
    device: str | torch.device | None = None,
) -> StableDiffusionPipeline:
    """The pipeline of the base that a concept was trained on, as its settings name it.

    Raises ConceptError where there is no concept, ModelError where the base cannot be loaded.
    """
    return _load_base(Path(directory), torch_dtype).to(_device(device))


def _device(device: str | torch.device | None) -> str | torch.device:
    return device or ("cuda" if torch.cuda.is_available() else "cpu")


def _load_base(folder: Path, torch_dtype: torch.dtype) -> StableDiffusionPipeline:
    settings = concept.read_settings(folder)["config"]
    options = ("revision", "variant", "pretrained_vae_name_or_path", "tokenizer_name")
    return models.load_pipeline(
        str(settings["pretrained_model_name_or_path"]),
        torch_dtype=torch_dtype,
        **{option: settings.get(option) for option in options},
    )


def _load_lora(folder: Path, torch_dtype: torch.dtype) -> StableDiffusionPipeline:
    pipeline = _load_base(folder, torch_dtype)
    try:
        _load_adapters(pipeline, folder)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        base = concept.read_settings(folder)["base"]
        reason = str(error).strip().splitlines()[0]
        raise ConceptError(
            f"{folder}: its {concept.LORA_FILE} does not fit its base {base}: {reason}"
        ) from error
    return pipeline


def _load_adapters(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    """`pipeline.load_lora_weights(folder)` without its warning where the text encoder was not trained."""
    state, alphas, info = pipeline.lora_state_dict(
        str(folder), weight_name=concept.LORA_FILE, use_safetensors=True, return_lora_metadata=True
    )
    options = {"network_alphas": alphas, "metadata": info, "_pipeline": pipeline}
    pipeline.load_lora_into_unet(state, unet=pipeline.unet, **options)
    if any(name.startswith("text_encoder.") for name in state):
        pipeline.load_lora_into_text_encoder(state, text_encoder=pipeline.text_encoder, **options)


def _unfinished(folder: Path) -> str:
    if concept.is_locked(folder):
        return f"{folder}: is being trained; it can be used once that has finished"
    again = f"python -m trainer train --config {folder / concept.SETTINGS_FILE}"
    if any(folder.glob("checkpoint-*")):
        return f"{folder}: has checkpoints but no finished model; resume with: {again} --resume_from_checkpoint latest"
    if (folder / concept.SETTINGS_FILE).is_file():
        return f"{folder}: its training came to no checkpoint; train again with: {again}"
    return f"{folder}: holds no concept and no model; give the --output_dir of a training"


def save_images(
    images: Sequence[Image.Image],
    config: GenerationConfig,
    directory: str | Path,
    extra: dict[str, Any] | None = None,
) -> list[Path]:
    """Write what `generate(pipeline, config)` returned as PNGs that carry their settings (`metadata.read_settings`).

    Numbered from the next free number on; nothing is overwritten. `extra` joins the settings, JSON only.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    numbers = (int(path.stem) for path in directory.glob("*.png") if path.stem.isdecimal())
    number = max(numbers, default=-1) + 1
    versions = concept.versions()
    paths = []
    for index, image in enumerate(images):
        own = {
            "seed": image_seed(config.seed, index),
            "num_samples": 1,
            "height": image.height,
            "width": image.width,
        }
        text = metadata.text_chunks(config.model_copy(update=own), versions, extra or {})
        path, number = _write_new(directory, number, _png(image, text))
        paths.append(path)
    return paths


def _write_new(directory: Path, number: int, data: bytes) -> tuple[Path, int]:
    """Write under the first number from `number` on that is free; returns the path and the number after it."""
    while True:
        path = directory / f"{number:05d}.png"
        number += 1
        try:
            stream = path.open("xb")
        except FileExistsError:  # another run is writing here too
            continue
        with stream:
            stream.write(data)
        return path, number


def _png(image: Image.Image, text: PngInfo | None = None) -> bytes:
    stream = BytesIO()
    image.save(stream, "PNG", pnginfo=text)
    return stream.getvalue()
