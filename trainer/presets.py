"""What to begin with: settings by what is learnt and where, each with its reason in a line.

The embedded base's own numbers are measured, and kept in one place: the example's dreambooth.json.
"""

import json
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

Kind = Literal["object", "style"]
Machine = Literal["cpu", "gpu", "gpu_fp16"]  # gpu_fp16 has no bf16 of its own (a T4)

EXAMPLE = Path(__file__).resolve().parent.parent / "examples/teddy-bear/dreambooth.json"
STABLE_DIFFUSION = "stable-diffusion-v1-5/stable-diffusion-v1-5"
BF16_FROM = 8.0  # compute capability: Ampere's
ANSWER_SECONDS = 10
# Of the example's settings these are of its own subject.
OWN = {"instance_data_dir", "instance_prompt", "class_prompt", "validation_prompt", "output_dir"}


@dataclass(frozen=True)
class Preset:
    """`settings` of a TrainingConfig by name: (value, reason)."""

    title: str
    settings: dict[str, tuple[Any, str]]

    def values(self) -> dict[str, Any]:
        """For `training_config(**values)`, beside the photos and prompts."""
        return {name: value for name, (value, _) in self.settings.items()}


def gpu() -> Machine:
    """Which kind the GPU here is: its driver is asked, for torch takes seconds. Where there is no answer, the usual."""
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True)
        lowest = min(float(line) for line in done.stdout.split())
    except (OSError, subprocess.SubprocessError, ValueError):
        return "gpu"
    return "gpu" if lowest >= BF16_FROM else "gpu_fp16"


def presets(kind: Kind, machine: Machine) -> list[Preset]:
    """The choices, the one to begin with first."""
    if machine == "cpu":
        return [_object_on_cpu() if kind == "object" else _style_on_cpu()]
    found = [OBJECT_LORA, OBJECT_FULL] if kind == "object" else [STYLE_LORA]
    if machine == "gpu":
        return found
    fp16 = {"mixed_precision": ("fp16", "this GPU has no bf16 of its own")}
    return [Preset(preset.title, preset.settings | fp16) for preset in found]


REASONS = {
    "pretrained_model_name_or_path": "the embedded miniature base, which a processor trains in minutes",
    "method": "all weights: the base is small enough",
    "with_prior_preservation": "so that other things of its class stay what they are",
    "num_class_images": "enough variety to hold the class, made once and shared",
    "class_guidance_scale": "what the small base makes under more guidance is too garish to keep a class by",
    "prior_loss_weight": "enough to hold the class; more keeps the subject in the class's colours",
    "validation_guidance_scale": "more makes the small base's pictures garish",
    "sample_batch_size": "faster than one at a time, and small pictures have room",
    "center_crop": "what is learnt is what the cards show",
    "train_batch_size": "one photo and one class image a step, as in the paper",
    "max_train_steps": "where the example's bear was found to be learnt",
    "learning_rate": "found on two subjects: at two thirds of it one is half learnt, at 2.5e-4 places come along",
    "lr_warmup_steps": "few steps leave no time to warm up",
    "lr_scheduler": "a last look at all photos alike: else the newest one tints everything",
    "train_text_encoder": "it learns to tell the subject's word from its class",
    "text_encoder_lr": "a quarter of the rest: faster, the photos' places stick to the word",
    "vary_wording": "people ask for 'a sks bear' as well as for 'a photo of a sks bear'",
    "snr_gamma": "weighs easy and hard noise levels evenly: steadier in few steps (min-SNR)",
    "num_validation_images": "enough to see it come",
    "validation_steps": "half way and at the end",
    "checkpointing_steps": "as many are judged as a seventh of the time allows, and the best becomes the concept",
    "checkpoints_total_limit": "all of a usual run, so that another can be chosen; of a long one the newest, and the best",
}


@cache
def _object_on_cpu() -> Preset:
    example = json.loads(EXAMPLE.read_text(encoding="utf-8"))["config"]
    return Preset(
        "Object",
        {
            name: (value, REASONS.get(name, "as in the example"))
            for name, value in example.items()
            if name not in OWN
        },
    )


@cache
def _style_on_cpu() -> Preset:
    without = {
        "with_prior_preservation", "num_class_images", "class_guidance_scale", "prior_loss_weight",
        "sample_batch_size", "center_crop", "train_text_encoder", "text_encoder_lr",
    }  # fmt: skip
    settings = {name: value for name, value in _object_on_cpu().settings.items() if name not in without}
    return Preset("Style", settings | STYLE)


# A style is everywhere in a picture, and has no class to be kept.
STYLE: dict[str, tuple[Any, str]] = {
    "with_prior_preservation": (False, "a style has no class that could be lost"),
    "center_crop": (False, "a style is in every corner of a picture"),
}
ON_GPU: dict[str, tuple[Any, str]] = {
    "pretrained_model_name_or_path": (STABLE_DIFFUSION, "the base most is known about; 512 px"),
    "train_batch_size": (1, "as in the paper, and fits the smallest GPUs"),
    "mixed_precision": ("bf16", "half the memory and twice the speed, without loss scaling"),
    "lr_scheduler": ("constant", "few steps leave no time to warm up or decay"),
    "validation_steps": (100, "previews often enough to see where it is learnt and where it is overdone"),
    "checkpointing_steps": (100, REASONS["checkpointing_steps"]),
    "evaluation_encoder": ("openai/clip-vit-base-patch32", "the CLIP that the paper's figures are by"),
    "subject_encoder": ("facebook/dino-vits16", "tells a subject from others of its kind, as in the paper"),
}
PRIOR: dict[str, tuple[Any, str]] = {
    "with_prior_preservation": (True, "so that other things of its class stay what they are"),
    "num_class_images": (200, "as in the paper: about 40 a photo for 5 photos"),
    "sample_batch_size": (4, "fits beside the base on the smallest GPUs"),
    "center_crop": (True, "what is learnt is what the cards show"),
}
OBJECT_LORA = Preset(
    "Object, LoRA",
    {
        **ON_GPU,
        **PRIOR,
        "method": ("lora", "a file of a few MB, quick, and the base stays whole"),
        "rank": (16, "room for an object's details; 4 loses them, more learns the background too"),
        "learning_rate": (1e-4, "diffusers' own for LoRA on Stable Diffusion 1"),
        "max_train_steps": (800, "about 100 to 150 a photo for 5 to 8 photos"),
        "snr_gamma": (5.0, "weighs noise levels evenly: steadier in few steps (min-SNR)"),
    },
)
OBJECT_FULL = Preset(
    "Object, all weights",
    {
        **ON_GPU,
        **PRIOR,
        "method": ("full", "the closest likeness, at 4 GB a concept"),
        "learning_rate": (2e-6, "between the paper's 1e-6 and 5e-6; slow enough not to overdo it"),
        "max_train_steps": (800, "about 100 to 150 a photo for 5 to 8 photos"),
        "use_8bit_adam": (True, "the optimizer's state in a quarter of the memory"),
        "gradient_checkpointing": (True, "fits 16 GB, at a third more time"),
        "checkpoints_total_limit": (2, "the newest two, beside the best: each takes several GB"),
    },
)
STYLE_LORA = Preset(
    "Style, LoRA",
    {
        **ON_GPU,
        **STYLE,
        "method": ("lora", "a style is a small change of everything, which is what a LoRA is"),
        "rank": (32, "a style takes more room than an object"),
        "learning_rate": (1e-4, "diffusers' own for LoRA on Stable Diffusion 1"),
        "max_train_steps": (1500, "about 75 a picture for 20 pictures"),
        "snr_gamma": (5.0, "weighs noise levels evenly: steadier in few steps (min-SNR)"),
    },
)
