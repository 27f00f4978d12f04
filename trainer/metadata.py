"""The settings that a generated PNG carries: one chunk for this program, one that other programs show."""

import json
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from trainer.config import GenerationConfig
from trainer.errors import ConfigError

CHUNK = "dreambooth"

# GenerationConfig.scheduler -> the name other programs show
SAMPLERS = {
    "dpm++": "DPM++ 2M",
    "unipc": "UniPC",
    "ddim": "DDIM",
    "pndm": "PLMS",
    "euler": "Euler",
    "euler_a": "Euler a",
}


def text_chunks(config: GenerationConfig, versions: dict[str, str], extra: dict[str, Any]) -> PngInfo:
    """PNG text for one image that `config` makes: "dreambooth" in JSON and "parameters" in AUTOMATIC1111's form.

    Folders are named, not given by path: an image is passed on, and says nothing of its maker's disk.
    """
    name = concept_name(config.concept)
    settings = config.model_dump(mode="json", exclude={"output_dir"}) | {"concept": name}
    record = extra | {"concept": name, "settings": settings, "versions": versions}
    text = PngInfo()
    text.add_text(CHUNK, json.dumps(record))
    text.add_text("parameters", parameters(config, versions))
    return text


def parameters(config: GenerationConfig, versions: dict[str, str]) -> str:
    """AUTOMATIC1111 webui's "parameters" (its modules/infotext_utils.py reads it)."""
    fields = {
        "Steps": config.num_inference_steps,
        "Sampler": SAMPLERS[config.scheduler],
        "CFG scale": config.guidance_scale,
        "Seed": config.seed,
        "Size": f"{config.width}x{config.height}",
        "Model": concept_name(config.concept),
        "Version": f"diffusers {versions.get('diffusers', 'unknown')}",
    }
    lines = [config.prompt]
    if config.negative_prompt:
        lines.append(f"Negative prompt: {config.negative_prompt}")
    lines.append(", ".join(f"{key}: {_quoted(str(value))}" for key, value in fields.items()))
    return "\n".join(lines)


def concept_name(concept: str) -> str:
    """A folder's name without its path; a Hub id as it is."""
    path = Path(concept)
    return path.resolve().name if path.exists() or path.is_absolute() else concept


def read_settings(path: str | Path) -> dict[str, Any]:
    """What `save_images` wrote: {"concept", "settings", "versions", ...}, settings being GenerationConfig's fields.

    `generation_config(**settings)` makes that very image again, where `concept` is found.
    Raises ConfigError for a file that is missing, no PNG, or without settings.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            text = image.info.get(CHUNK)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ConfigError(f"{path}: not a PNG that can be read ({error})") from error
    if text is None:
        raise ConfigError(
            f"{path}: carries no settings; they are in PNGs as `generate` wrote them, not in copies"
        )
    try:
        record = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{path}: its settings are damaged ({error})") from error
    if not isinstance(record, dict) or not isinstance(record.get("settings"), dict):
        raise ConfigError(f"{path}: its settings are damaged (no settings in them)")
    return record


def _quoted(value: str) -> str:
    """AUTOMATIC1111's quoting of a value that holds one of its separators."""
    return json.dumps(value, ensure_ascii=False) if any(mark in value for mark in ",:\n") else value
