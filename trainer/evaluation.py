"""How well a concept knows its subject and still follows prompts, as the DreamBooth paper measures it (section 4.1).

Two encoders look: a CLIP compares with prompts, and one that was taught without words tells a thing from others of its
kind (the paper's is DINO); each named or a folder. The embedded base has both (examples/toybox).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoImageProcessor, AutoModel, CLIPModel, CLIPProcessor

from trainer import concept, copying, generation, photos, prompting, sampling
from trainer.config import Concept, GenerationConfig, TrainingConfig, training_config
from trainer.errors import ModelError, PhotoError

OnStep = Callable[[int, int], None]
STEPS: int = GenerationConfig.model_fields["num_inference_steps"].default
# Of the paper's prompts for objects (section 4.1 and its supplement).
PLACES = (
    "in the jungle",
    "in the snow",
    "on the beach",
    "on a cobblestone street",
    "on top of pink fabric",
    "on top of a wooden floor",
    "with a city in the background",
    "with a mountain in the background",
    "with a blue house in the background",
    "on top of a purple rug in a forest",
    "with a wheat field in the background",
    "with a tree and autumn leaves in the background",
    "with the Eiffel Tower in the background",
    "floating on top of water",
    "floating in an ocean of milk",
    "on top of green grass with sunflowers around it",
    "on top of a mirror",
    "on top of the sidewalk in a crowded street",
    "on top of a dirt road",
    "on top of a white rug",
)
# the first that the subject's prompts do not name
NEIGHBOURS = ("a photo of a dog", "a photo of a cat", "a photo of a car")


@dataclass(frozen=True)
class SubjectEncoder:
    """A vision transformer; an image is its class token (Caron et al. 2021, DINO)."""

    model: Any
    processor: Any

    @torch.no_grad()
    def embed_images(self, images: Sequence[Image.Image]) -> Tensor:
        """(N, hidden_size), of unit length."""
        pixels = self.processor(list(images), return_tensors="pt").pixel_values
        return F.normalize(self.model(pixel_values=pixels).last_hidden_state[:, 0], dim=-1)


@dataclass(frozen=True)
class Judge:
    """A CLIP that compares images with images and with texts; all embeddings are of unit length."""

    model: CLIPModel
    processor: CLIPProcessor
    subject: SubjectEncoder | None = None

    def embed_subjects(self, images: Sequence[Image.Image]) -> Tensor:
        """For likeness to photos: by the encoder for that, or by the CLIP where there is none."""
        return (self.subject or self).embed_images(images)

    @torch.no_grad()
    def embed_images(self, images: Sequence[Image.Image]) -> Tensor:
        """(N, projection_dim)."""
        pixels = self.processor.image_processor(list(images), return_tensors="pt").pixel_values
        pooled = self.model.vision_model(pixel_values=pixels).pooler_output
        return F.normalize(self.model.visual_projection(pooled), dim=-1)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """(N, projection_dim)."""
        tokens = self.processor.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        pooled = self.model.text_model(**tokens).pooler_output
        return F.normalize(self.model.text_projection(pooled), dim=-1)


def load_judge(name: str, subject_encoder: str | None = None) -> Judge:
    """A CLIP and an encoder of subjects, each a folder or a name on the Hub, float32, from safetensors only.

    Raises ModelError where there is none."""
    subject = load_subject_encoder(subject_encoder) if subject_encoder else None
    try:
        model = CLIPModel.from_pretrained(name, use_safetensors=True, dtype=torch.float32)
        return Judge(model.eval(), CLIPProcessor.from_pretrained(name), subject)
    except (OSError, ValueError, KeyError, TypeError) as error:  # not there, no safetensors, another model
        raise ModelError(
            f"{name}: no CLIP can be loaded from there; name a folder or a model on the Hub"
        ) from error


def load_subject_encoder(name: str) -> SubjectEncoder:
    """As `load_judge`: DINO, DINOv2 or any vision transformer with a class token."""
    try:
        model = AutoModel.from_pretrained(name, use_safetensors=True, dtype=torch.float32)
        if not hasattr(model.config, "patch_size"):
            raise ValueError("no vision transformer")
        return SubjectEncoder(model.eval(), AutoImageProcessor.from_pretrained(name))
    except (OSError, ValueError, KeyError, TypeError) as error:  # not there, no safetensors, another model
        raise ModelError(
            f"{name}: no vision transformer can be loaded from there; name a folder or a model on the Hub"
        ) from error


def subject_fidelity(samples: Tensor, photos: Tensor) -> float:
    """CLIP-I and DINO: mean cosine of every sample with every photo, both (N, D) of unit length."""
    return float((samples @ photos.T).mean())


def photo_to_photo(photos: Tensor) -> float:
    """What subject fidelity can at best be expected to be: mean cosine of different photos, (N, D), N at least 2."""
    count = len(photos)
    assert count >= 2
    between = photos @ photos.T
    return float((between.sum() - between.diagonal().sum()) / (count * (count - 1)))


@dataclass(frozen=True)
class Likeness:
    """To the photos, by one encoder; mean cosines."""

    photos: float  # among themselves, which is as much as can be expected
    base: float
    concept: float


def likeness(photos: Tensor, base: Tensor, concept: Tensor) -> Likeness:
    """All (N, D) of unit length, of one encoder."""
    return Likeness(photo_to_photo(photos), subject_fidelity(base, photos), subject_fidelity(concept, photos))


def prompt_fidelity(samples: Tensor, prompts: Tensor) -> float:
    """CLIP-T: mean cosine of each sample with its own prompt, both (N, D) of unit length."""
    assert samples.shape == prompts.shape
    return float((samples * prompts).sum(-1).mean())


def language_drift(ours: Tensor, theirs: Tensor) -> float:
    """How far what a neighbouring prompt gives has moved: 1 - mean cosine of the concept's image with the base's of the
    same prompt and seed, both (N, D) of unit length."""
    assert ours.shape == theirs.shape
    return float(1 - (ours * theirs).sum(-1).mean())


def diversity(samples: Tensor) -> float:
    """1 - mean cosine of different samples, (N, D) of unit length, N at least 2; the paper's DIV has LPIPS in its place."""
    return 1 - photo_to_photo(samples)


@dataclass(frozen=True)
class Painted:
    """Images of the same prompts and seeds by the base and by the concept; the class alone only where it has a prompt; and a
    neighbour, which nobody taught anything."""

    base: list[Image.Image]
    concept: list[Image.Image]
    base_class: list[Image.Image]
    concept_class: list[Image.Image]
    base_neighbour: list[Image.Image]
    concept_neighbour: list[Image.Image]


@dataclass(frozen=True)
class Evaluation:
    """Cosines, of means over all samples; what takes a class is None without one."""

    dino: Likeness | None  # by the encoder of subjects, in DINO's place; None without one
    clip_i: Likeness
    prompt: float  # CLIP-T, the class standing for the identifier
    base_prompt: float
    preservation: (
        float | None
    )  # the paper's PRES: the class's likeness to the photos as `subject`'s, less is better
    base_preservation: float | None
    diversity: float | None  # among images of the class
    base_diversity: float | None
    drift: float | None  # of the class
    neighbour_drift: float
    copied: tuple[int | None, ...]  # for each sample the photo that it repeats

    @property
    def subject(self) -> Likeness:
        """By the encoder that tells subjects best."""
        return self.dino or self.clip_i

    def lines(self) -> list[str]:
        """A table for the terminal."""
        by_clip = (
            [("likeness to the photos by CLIP", self.clip_i.base, self.clip_i.concept)] if self.dino else []
        )
        rows: list[tuple[str, float | None, float | None]] = [
            ("likeness to the photos", self.subject.base, self.subject.concept),
            *by_clip,
            ("agreement with the prompts", self.base_prompt, self.prompt),
            ("likeness of the class alone to the photos", self.base_preservation, self.preservation),
            ("variety of the class", self.base_diversity, self.diversity),
            ("drift of the class from the base's", None, self.drift),
            ("drift of a neighbour (a dog, as a rule)", None, self.neighbour_drift),
        ]
        shown = [f"{'':42} {'base':>7} {'concept':>7}"]
        for name, *values in rows:
            cells = ["" if value is None else f"{value:.3f}" for value in values]
            shown.append(f"{name:42} {cells[0]:>7} {cells[1]:>7}")
        repeated = sum(photo is not None for photo in self.copied)
        shown.append(f"The photos are {self.subject.photos:.3f} alike among themselves.")
        shown.append(f"{repeated} of {len(self.copied)} samples repeat a photo.")
        return shown


def load_settings(directory: Path) -> TrainingConfig:
    """How a finished concept was trained. Raises ConceptError where it is none."""
    return training_config(**concept.read_settings(directory)["config"])


def neighbour_of(subject: Concept) -> str:
    """A prompt of something else than the subject's class."""
    own = f"{subject.class_prompt or ''} {subject.instance_prompt}".lower().split()
    return next((prompt for prompt in NEIGHBOURS if prompt.split()[-1] not in own), NEIGHBOURS[0])


def paint(
    directory: Path,
    places: Sequence[str],
    *,
    num_samples: int = 1,
    seed: int = 0,
    guidance_scale: float | None = None,
    num_inference_steps: int = STEPS,
    on_step: OnStep | None = None,
) -> Painted:
    """`num_samples` images for each place by base and concept, image i of seed + i, as many of the class alone, and of a neighbour
    for every fourth place.

    `on_step(done, total)` counts prompts. `guidance_scale` is that of the concept's previews where not given. Raises ConceptError, ModelError.
    """
    config = load_settings(directory)
    subject = config.concepts[0]
    kind = subject.class_prompt
    scale = guidance_scale or config.validation_guidance_scale
    others = [neighbour_of(subject)] * -(-len(places) // 4)
    total, done = len(places) * (4 if kind else 2) + 2 * len(others), 0

    def of(pipeline: Any, prompts: Sequence[str]) -> list[Image.Image]:
        nonlocal done
        images = []
        for index, prompt in enumerate(prompts):
            wanted = GenerationConfig(
                concept=str(directory),
                prompt=prompt,
                num_samples=num_samples,
                seed=sampling.image_seed(seed, index * num_samples),
                guidance_scale=scale,
                num_inference_steps=num_inference_steps,
            )
            images += generation.generate(pipeline, wanted)
            done += 1
            if on_step:
                on_step(done, total)
        return images

    base = generation.load_base(directory)
    alone = [kind] * len(places) if kind else []
    asked, plain = zip(*prompting.asked(subject, places), strict=True)
    of_base = of(base, plain)
    base_class, base_neighbour = of(base, alone), of(base, others)
    del base
    ours = generation.load_concept(directory)
    of_concept = of(ours, asked)
    return Painted(of_base, of_concept, base_class, of(ours, alone), base_neighbour, of(ours, others))


def evaluate(
    painted: Painted, taken: Sequence[Image.Image], texts: Sequence[str], judge: Judge
) -> Evaluation:
    """The figures; `texts` are those that the samples are to agree with, one for each of them.

    Raises PhotoError for fewer than two photos."""
    if len(taken) < 2:
        raise PhotoError("a concept is compared with at least two photos of its subject")
    of_photos, by_clip = judge.embed_subjects(taken), judge.embed_images(taken)
    wanted = judge.embed_texts(texts)
    ours, theirs = judge.embed_images(painted.concept), judge.embed_images(painted.base)
    samples = judge.embed_subjects(painted.concept)
    by_class: dict[str, float | None] = dict.fromkeys(
        ("preservation", "base_preservation", "diversity", "base_diversity", "drift")
    )
    if painted.concept_class:
        own, base = judge.embed_subjects(painted.concept_class), judge.embed_subjects(painted.base_class)
        by_class["preservation"] = subject_fidelity(own, of_photos)
        by_class["base_preservation"] = subject_fidelity(base, of_photos)
        by_class["drift"] = language_drift(own, base)
        if len(own) > 1:
            by_class["diversity"], by_class["base_diversity"] = diversity(own), diversity(base)
    return Evaluation(
        dino=likeness(of_photos, judge.embed_subjects(painted.base), samples) if judge.subject else None,
        clip_i=likeness(by_clip, theirs, ours),
        prompt=prompt_fidelity(ours, wanted),
        base_prompt=prompt_fidelity(theirs, wanted),
        copied=tuple(copying.Originals(taken).copied(painted.concept)),
        neighbour_drift=language_drift(
            judge.embed_subjects(painted.concept_neighbour), judge.embed_subjects(painted.base_neighbour)
        ),
        **by_class,
    )


def evaluate_concept(
    directory: Path,
    judge: Judge,
    places: Sequence[str] = PLACES,
    *,
    num_samples: int = 1,
    seed: int = 0,
    guidance_scale: float | None = None,
    num_inference_steps: int = STEPS,
    on_step: OnStep | None = None,
) -> tuple[Evaluation, Painted]:
    """A finished concept's figures, and the images that they are of. Raises ConceptError, ModelError, PhotoError."""
    subject = load_settings(directory).concepts[0]
    taken = [photos.open_photo(path) for path in photos.list_photos(Path(subject.instance_data_dir))]
    painted = paint(
        directory,
        places,
        num_samples=num_samples,
        seed=seed,
        guidance_scale=guidance_scale,
        num_inference_steps=num_inference_steps,
        on_step=on_step,
    )
    texts = [plain for _, plain in prompting.asked(subject, places) for _ in range(num_samples)]
    return evaluate(painted, taken, texts, judge), painted
