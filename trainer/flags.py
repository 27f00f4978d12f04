"""The flags of the command line, made from the fields of `config.py`, and the settings a command line stands for.

Spelled as in diffusers' `train_dreambooth.py` and `train_dreambooth_lora.py`; the names that ShivamShrirao's fork has
for the same settings are taken too.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pydantic.fields import FieldInfo

from trainer.config import GenerationConfig, TrainingConfig, training_config
from trainer.errors import ConfigError
from trainer.fields import Settings, allowed, did_you_mean, extra, is_switch

# diffusers' flags that cannot be followed here, each with the way out; their values are never repeated, one is a token
REFUSED = {
    "push_to_hub": "train writes to output_dir alone; leave it out and use 'python -m trainer push' afterwards",
    "hub_model_id": "train writes to output_dir alone; leave it out and use 'python -m trainer push' afterwards",
    "hub_token": "train uploads nothing, and a token on the command line is seen by others; leave it out, 'hf auth"
    " login' keeps it for downloads",
    "prior_generation_precision": "class images are made in the precision of training; leave it out, or set"
    " mixed_precision",
    "tokenizer_max_length": "prompts have the length the base model was made for; leave it out",
    "text_encoder_use_attention_mask": "Stable Diffusion's pipelines use no mask, so a concept trained with one would"
    " be drawn without it; leave it out",
    "skip_save_text_encoder": "a finished concept is loaded back from disk, so it is saved whole; leave it out",
    "image_interpolation_mode": "photos are resized bilinearly, as in train_dreambooth.py; leave it out",
    "validation_scheduler": "previews are always drawn with DPM-Solver; leave it out",
    "validation_images": "it is for base models that start from an image; Stable Diffusion 1 and 2 start from text."
    " Leave it out",
    "class_labels_conditioning": "it is for DeepFloyd IF; Stable Diffusion 1 and 2 have no class labels. Leave it out",
}
# taken without effect, because things are so anyway
WITHOUT_EFFECT = {
    "local_rank": "accelerate tells each process its rank",
    "dataloader_num_workers": "photos are read by the training process, once unless cache_latents is off",
    "pre_compute_text_embeddings": "prompts are always encoded once where the text encoder is not trained",
}


class Parser(argparse.ArgumentParser):
    """An argparse parser that raises ConfigError, with the nearest known name for a flag it does not know."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see {self.prog} --help")

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        namespace, unknown = self.parse_known_args(argv)
        if unknown:
            known = [option.lstrip("-") for option in self._option_string_actions]
            messages = [_unknown(word, known) for word in unknown if word.startswith("--")]
            shown = "hf_..." if unknown[0].startswith("hf_") else unknown[0]  # a token is not repeated
            raise ConfigError("\n".join(messages or [f"{shown!r} belongs to no flag"]))
        return namespace


def _unknown(word: str, known: list[str]) -> str:
    name = word.lstrip("-").split("=")[0]
    if name in REFUSED:
        return f"--{name}: refused: {REFUSED[name]}"
    near = did_you_mean(name, known).replace("mean ", "mean --")
    return f"--{name}: no such flag{near or '; --help lists them'}"


def _add_fields(parser: argparse.ArgumentParser, model: type[Settings]) -> None:
    """One flag a field, with its other names. Values stay text: the model turns them into numbers, or refuses."""
    groups: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        title = extra(info)["group"]
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        flags = [f"--{known}" for known in (name, *extra(info)["names"])]
        options: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS}
        if is_switch(info):
            groups[title].add_argument(
                *flags, nargs="?", const=True, metavar="true|false", help=_help(info), **options
            )
            off = [f"--no-{name}", f"--no_{name}", *(f"--{known}" for known in extra(info)["inverse_names"])]
            groups[title].add_argument(*off, action="store_false", help=argparse.SUPPRESS, **options)
        else:
            metavar = name.rsplit("_", 1)[-1].upper()
            groups[title].add_argument(*flags, metavar=metavar, help=_help(info), **options)


def _help(info: FieldInfo) -> str:
    takes = "" if is_switch(info) else f" ({allowed(info)})"
    off = ", ".join(f"--{name}" for name in extra(info)["inverse_names"])
    also = f"; {off} switches it off" if off else ""
    default = info.get_default(call_default_factory=True, validated_data={})
    shown = "" if info.is_required() or default in (None, (), "", False) else f" [{default}]"
    return f"{info.description}{also}{takes}{shown}".replace("%", "%%")


def _parser(command: str, description: str) -> Parser:
    epilog = "A switch is on with --X or --X true, off with --no-X or --X false."
    return Parser(f"python -m trainer {command}", description=description, epilog=epilog, allow_abbrev=False)


def train_parser() -> Parser:
    parser = _parser("train", "Teach the base model a subject from a handful of photos.")
    parser.add_argument(
        "--config", metavar="FILE", help="settings from a dreambooth.json; flags beside it win"
    )
    _add_fields(parser, TrainingConfig)
    others = parser.add_argument_group("taken from other programs")
    both = "the fork's name for checkpointing_steps and validation_steps together"
    others.add_argument("--save_interval", default=argparse.SUPPRESS, metavar="STEPS", help=both)
    for name, reason in WITHOUT_EFFECT.items():
        flags = dict.fromkeys(
            [f"--{name}", f"--{name.replace('_', '-')}"]
        )  # torch's launcher writes --local-rank
        options: dict[str, Any] = {"nargs": "?", "default": argparse.SUPPRESS, "metavar": "X"}
        others.add_argument(*flags, help=f"no effect: {reason}", **options)
    return parser


def generate_parser() -> Parser:
    parser = _parser("generate", "Draw images of a concept.")
    _add_fields(parser, GenerationConfig)
    return parser


def evaluate_parser() -> Parser:
    parser = _parser(
        "evaluate", "Compare a concept with its photos, its prompts and its base, on the paper's prompts."
    )
    parser.add_argument("--concept", required=True, metavar="DIR", type=Path, help="a finished concept")
    for name in ("evaluation_encoder", "subject_encoder"):
        help_text = TrainingConfig.model_fields[name].description
        parser.add_argument(f"--{name}", metavar="NAME", help=help_text)
    parser.add_argument("--num_samples", type=_positive, default=1, metavar="N", help="images a prompt [1]")
    parser.add_argument("--seed", type=int, default=0, help="of the first image [0]")
    scale = "how strictly the images follow the prompt; as the concept's previews where not given"
    parser.add_argument("--guidance_scale", type=float, help=scale)
    parser.add_argument("--json", action="store_true", help="the figures as JSON, for programs")
    return parser


def choose_parser() -> Parser:
    parser = _parser("choose", "Make another checkpoint the concept than the one that was judged best.")
    parser.add_argument("--concept", required=True, metavar="DIR", type=Path, help="a finished concept")
    parser.add_argument("--step", required=True, type=_positive, metavar="N", help="of checkpoint-N")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is refused; it takes a whole number, from 1")
    return int(text)


def check_parser() -> Parser:
    parser = _parser("check", "One verdict for each photo of a folder: ok, warning or refused, and why.")
    parser.add_argument("directory", metavar="DIR", type=Path)
    parser.add_argument("--json", action="store_true", help="the report as JSON, for programs")
    kinds = "what is taught: decides how many photos are enough, and what the set is looked at for"
    parser.add_argument("--kind", choices=("object", "style"), default="object", help=kinds)
    words = "read the text in each photo, to find watermarks: 2 to 3 seconds a photo"
    parser.add_argument("--words", action="store_true", help=words)
    takes = allowed(TrainingConfig.model_fields["resolution"])
    also = "side the photos will be cut to; without it, small ones are not warned of"
    parser.add_argument("--resolution", metavar="PX", help=f"{also} ({takes})")
    return parser


def push_parser() -> Parser:
    parser = _parser(
        "push", "Push a finished concept to the Hub: private, in one commit, loaded back to check it."
    )
    parser.add_argument("--concept", required=True, metavar="DIR", type=Path, help="folder of the concept")
    parser.add_argument("--repo_id", required=True, metavar="NAME", help="as in my-name/teddy-bear")
    parser.add_argument("--public", action="store_true", help="for everybody to see")
    parser.add_argument("--include_photos", action="store_true", help="upload the training photos too")
    parser.add_argument("--overwrite", action="store_true", help="whatever else is in the repository")
    parser.epilog = "The token is that of HF_TOKEN, or of 'hf auth login'; it is no flag, as others can read a command line."
    return parser


def resolution(value: str | None) -> int | None:
    """A resolution in px, held to the range of TrainingConfig's. Raises ConfigError."""
    return training_config(instance_data_dir=".", instance_prompt="x", resolution=value).resolution


def training_values(flags: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings a command line stands for: the file's, then the flags given beside it.

    Raises ConfigError for a file that is missing or is not JSON of the right form.
    """
    file = flags.pop("config", None)
    values = _settings(Path(file)) if file else {}
    interval = flags.pop("save_interval", None)
    if interval is not None:
        flags = {"checkpointing_steps": interval, "validation_steps": interval} | flags
    if isinstance(flags.get("concepts_list"), str):
        flags["concepts_list"] = _json(Path(flags["concepts_list"]), "concepts_list")
    values |= {name: value for name, value in flags.items() if name not in WITHOUT_EFFECT}
    if (
        "pre_compute_text_embeddings" in flags
        and str(values.get("train_text_encoder", False)).lower() != "false"
    ):
        raise ConfigError("pre_compute_text_embeddings: not with train_text_encoder; leave one of them out")
    if (
        "ACCELERATE_MIXED_PRECISION" in environment
    ):  # accelerate launch --mixed_precision, as in diffusers' scripts
        values.setdefault("mixed_precision", environment["ACCELERATE_MIXED_PRECISION"])
    return values


def _settings(path: Path) -> dict[str, Any]:
    content = _json(path, "config")
    settings = content.get("config", content) if isinstance(content, dict) else None
    if not isinstance(settings, dict):
        raise ConfigError(
            f"config: {path} holds no settings; it takes a JSON object of them, as dreambooth.json has"
        )
    return dict(settings)


def _json(path: Path, name: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{name}: {path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # not UTF-8, or not JSON
        raise ConfigError(f"{name}: {path} is not JSON: {error}") from None
