"""The model card of a concept that is passed on: README.md, which the Hub shows and reads.

What a user wrote (prompts, a title) is data here. In the YAML it is quoted by the YAML library; in the text it stands
only in code, behind a fence longer than any in it, where Markdown knows neither markup, nor links, nor HTML.
"""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_origin

import yaml
from huggingface_hub import ModelCard, ModelCardData

from trainer import choice, concept, metadata
from trainer.config import TrainingConfig, training_config
from trainer.errors import ConfigError

CARD_FILE = "README.md"
SHOWCASE = "showcase"  # folder of the pictures of the card
GRID_FILE = "grid.png"
PHOTOS = "instance_images"
STUDIO = "DreamBooth Studio"

Subject = Literal["object", "style"]

# shown whether or not they were changed
MAIN_SETTINGS = (
    "method",
    "resolution",
    "max_train_steps",
    "train_batch_size",
    "learning_rate",
    "lr_scheduler",
    "with_prior_preservation",
    "snr_gamma",
    "seed",
    "mixed_precision",
)
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


@dataclass(frozen=True)
class Licence:
    """A base's licence as its own card names it, in the Hub's terms. `name` and `link` go with the id "other"."""

    id: str | None = None
    name: str | None = None
    link: str | None = None


def licence_of(base_card: str | None, base: str) -> Licence:
    """The licence that a base's README.md declares; an empty one where there is no card, or it declares none."""
    try:
        data = ModelCard(base_card or "", ignore_metadata_errors=True).data
    except (ValueError, TypeError, yaml.YAMLError):  # YAML that cannot be read
        return Licence()
    values = {key: data.get(key) for key in ("license", "license_name", "license_link")}
    given, name, link = (_plain(value) if isinstance(value, str) else None for value in values.values())
    if not given or not re.fullmatch(r"[a-z0-9.+-]+", given):
        return Licence()
    if given != "other":
        return Licence(given)
    if link and not link.startswith("https://"):
        link = f"https://huggingface.co/{base}/blob/main/{link}" if HUB_ID.fullmatch(base) else None
    return Licence(given, name, link)


def write(
    folder: Path,
    name: str,
    *,
    base_card: str | None,
    private: bool = False,
    title: str | None = None,
    subject: Subject | None = None,
) -> None:
    """Write the card of the concept in `folder`, which is what is passed on and no more.

    `name`: what the concept is loaded by, a Hub id or a folder. `base_card`: the README.md of the base, for its licence.
    """
    settings = concept.read_settings(folder)
    config = training_config(**settings["config"])
    licence = licence_of(base_card, config.pretrained_model_name_or_path)
    samples = sorted(path for path in (folder / SHOWCASE).glob("*.png") if path.name != GRID_FILE)
    lines = [
        f"# {_heading(title) or name.split('/')[-1]}",
        *_introduction(config, subject),
        *_pictures(folder),
        *_worth(folder),
        *_how_to_load(config, name, private),
        *_settings(config, settings),
        *_terms(folder, config, licence),
    ]
    text = f"---\n{_data(config, licence, subject, samples).to_yaml()}\n---\n\n" + "\n\n".join(lines) + "\n"
    (folder / CARD_FILE).write_text(text, encoding="utf-8")


def _data(
    config: TrainingConfig, licence: Licence, subject: Subject | None, samples: list[Path]
) -> ModelCardData:
    prompts = _prompts(config)
    widget = [
        {"text": _prompt_of(path) or prompts[0], "output": {"url": f"{SHOWCASE}/{path.name}"}}
        for path in samples
    ]
    base = config.pretrained_model_name_or_path
    tags = ["text-to-image", "diffusers", "dreambooth", *(["lora"] if config.method == "lora" else [])]
    return ModelCardData(
        license=licence.id,
        license_name=licence.name,
        license_link=licence.link,
        library_name="diffusers",
        pipeline_tag="text-to-image",
        tags=[*tags, *([subject] if subject else [])],
        base_model=base if _is_hub_id(base) else None,
        instance_prompt=prompts[0],
        widget=widget or [{"text": prompts[0]}],
    )


def _introduction(config: TrainingConfig, subject: Subject | None) -> list[str]:
    base = config.pretrained_model_name_or_path
    where = f"[{base}](https://huggingface.co/{base})" if _is_hub_id(base) else _code(base)
    what = {"object": "An object", "style": "A style", None: "A subject"}[subject]
    how = f"a LoRA of rank {config.rank}" if config.method == "lora" else "all weights fine-tuned"
    prompts = _prompts(config)
    lines = [
        f"{what} taught to {where} with [DreamBooth](https://arxiv.org/abs/2208.12242), {how}, by {STUDIO}.",
        "The prompt that calls it:" if len(prompts) == 1 else "The prompts that call them:",
        _fenced("\n".join(prompts)),
    ]
    identifier, noun = concept.subject(config)
    if identifier and noun:
        lines.append(f"The identifier is {_code(identifier)}, the class is {_code(noun)}.")
    return lines


def _pictures(folder: Path) -> list[str]:
    if not (folder / SHOWCASE / GRID_FILE).is_file():
        return []
    return [
        f"![the base's pictures above the concept's]({SHOWCASE}/{GRID_FILE})",
        "The base and the concept, asked the same with the same seeds.",
    ]


def _worth(folder: Path) -> list[str]:
    """What its checkpoints were found to be worth, where they were judged."""
    report = choice.read(folder)
    if report is None:
        return []
    rows = ["| step | like the photos | follows prompts | class drift |", "|---|---|---|---|"]
    for each in report.judged:
        drift = "" if each.drift is None else f"{each.drifted(report.yardstick):.0%}"
        mark = ", kept" if each.step == report.kept else ""
        learnt, obeyed = each.learnt(report.yardstick), each.obeyed(report.yardstick)
        rows.append(f"| {each.step}{mark} | {learnt:.0%} | {obeyed:.0%} | {drift} |")
    what = (
        "By a CLIP, on fixed prompts and seeds: how far from the base's likeness to the photos to their own, how much of the"
        " base's agreement with prompts is left, and how far the class alone moved, of what is allowed: as far as another seed"
        " would have moved it, and half of the way to the photos."
    )
    return ["## Did it learn?", report.verdict, "\n".join(rows), what]


def _how_to_load(config: TrainingConfig, name: str, private: bool) -> list[str]:
    lines = ["from diffusers import DiffusionPipeline", ""]
    if config.method == "lora":
        given = {"revision": config.revision, "variant": config.variant}
        options = "".join(f", {key}={value!r}" for key, value in given.items() if value)
        base = config.pretrained_model_name_or_path
        lines.append(f"pipe = DiffusionPipeline.from_pretrained({base!r}{options}, use_safetensors=True)")
        lines.append(f"pipe.load_lora_weights({name!r}, weight_name={concept.LORA_FILE!r})")
    else:
        lines.append(f"pipe = DiffusionPipeline.from_pretrained({name!r}, use_safetensors=True)")
    lines.append(f"image = pipe({_prompts(config)[0]!r}).images[0]")
    lines.append('image.save("image.png")')
    login = ["The repository is private: log in first with `hf auth login`."] if private else []
    gpu = 'On a GPU, add `pipe.to("cuda")` after loading.'
    return ["## How to load it", *login, _fenced("\n".join(lines), "python"), gpu]


def _settings(config: TrainingConfig, settings: dict[str, Any]) -> list[str]:
    """A table of numbers and choices; texts and folders are not for a table, where a bar would end the cell."""
    rows = ["| setting | value |", "|---|---|"]
    for name, info in TrainingConfig.model_fields.items():
        value = getattr(config, name)
        plain = isinstance(value, (int, float)) or get_origin(info.annotation) is Literal or value is None
        default = info.get_default(call_default_factory=True, validated_data={"method": config.method})
        if plain and (name in MAIN_SETTINGS or value != default):
            rows.append(f"| {name} | {'not set' if value is None else value} |")
    class_prompts = [each.class_prompt for each in config.concepts if each.class_prompt]
    texts = [f"instance_prompt: {prompt}" for prompt in _prompts(config)]
    texts += [f"class_prompt: {_plain(prompt)}" for prompt in class_prompts]
    versions = settings.get("versions")
    if isinstance(versions, dict):
        texts.append("versions: " + _plain(", ".join(f"{name} {value}" for name, value in versions.items())))
    whole = f"All settings, to train it again, are in [{concept.SETTINGS_FILE}]({concept.SETTINGS_FILE})."
    return ["## How it was trained", "\n".join(rows), _fenced("\n".join(texts)), whole]


def _terms(folder: Path, config: TrainingConfig, licence: Licence) -> list[str]:
    if licence.id is None:
        terms = "The base names no licence that could be read; find it out before you pass this on."
    else:
        own = f" ({_code(licence.name)})" if licence.name else ""
        terms = f"That of the base: {_code(licence.id)}{own}."
    photos = "The training photos are no part of this repository."
    if (folder / PHOTOS).is_dir():
        photos = f"The training photos are in `{PHOTOS}`."
    return ["## Licence", terms, "## Photos", photos]


def _is_hub_id(base: str) -> bool:
    return bool(HUB_ID.fullmatch(base)) and not Path(base).exists()


def _prompts(config: TrainingConfig) -> list[str]:
    return [_plain(each.instance_prompt) for each in config.concepts]


def _prompt_of(sample: Path) -> str | None:
    """The prompt that a sample carries."""
    try:
        return _plain(str(metadata.read_settings(sample)["settings"].get("prompt", ""))) or None
    except ConfigError:
        return None


def _plain(text: str) -> str:
    """One line without control characters, marks of direction and surrogates; text encoders see the same words."""
    spaced = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    return " ".join("".join(c for c in spaced if unicodedata.category(c) not in ("Cf", "Cs")).split())


def _heading(title: str | None) -> str:
    """What cannot be markup: letters, digits, spaces and a few marks."""
    kept = "".join(
        c if unicodedata.category(c)[0] in "LMN" or c in " ',-" else " " for c in _plain(title or "")
    )
    return " ".join(kept.split())[:80].strip(" -',")


def _code(text: str) -> str:
    """Inline code: CommonMark takes it literally between strings of backticks longer than any in it."""
    text = _plain(text)
    ticks = "`" * (_longest_ticks(text) + 1)
    return (
        f"{ticks} {text} {ticks}" if text.startswith("`") or text.endswith("`") else f"{ticks}{text}{ticks}"
    )


def _fenced(text: str, language: str = "text") -> str:
    fence = "`" * max(3, _longest_ticks(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _longest_ticks(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
