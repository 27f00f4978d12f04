"""The embedded base as committed: loads without our code, small enough for a Space."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPModel, CLIPProcessor, CLIPTextModel

from trainer.evaluation import load_judge, load_subject_encoder

TOYBOX = Path(__file__).parent.parent / "examples" / "toybox"
BEAR = TOYBOX.parent / "teddy-bear/instance_images"
MB = 1_000_000


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    loaded = DiffusionPipeline.from_pretrained(TOYBOX, use_safetensors=True, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def test_it_has_stable_diffusions_four_parts(pipeline: StableDiffusionPipeline) -> None:
    assert isinstance(pipeline, StableDiffusionPipeline)
    assert isinstance(pipeline.unet, UNet2DConditionModel)
    assert isinstance(pipeline.vae, AutoencoderKL)
    assert isinstance(pipeline.text_encoder, CLIPTextModel)
    assert pipeline.unet.config.cross_attention_dim == pipeline.text_encoder.config.hidden_size
    scheduler = pipeline.scheduler.config
    assert (scheduler.beta_start, scheduler.beta_end, scheduler.beta_schedule) == (
        0.00085,
        0.012,
        "scaled_linear",
    )
    assert scheduler.prediction_type == "epsilon"
    assert pipeline.unet.config.sample_size * pipeline.vae_scale_factor == 128


def test_it_fits_a_space() -> None:
    files = [path for path in TOYBOX.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    sizes = {path.name: path.stat().st_size for path in files}
    assert sum(path.stat().st_size for path in files) <= 64 * MB
    assert max(sizes.values()) <= 10 * MB, max(sizes, key=sizes.__getitem__)
    assert not [path for path in files if path.suffix in {".bin", ".pt", ".ckpt", ".pickle"}]


def test_the_judge_is_the_text_encoders_own_clip(pipeline: StableDiffusionPipeline) -> None:
    clip = CLIPModel.from_pretrained(TOYBOX / "clip", use_safetensors=True)
    CLIPProcessor.from_pretrained(TOYBOX / "clip")
    ours = dict(pipeline.text_encoder.named_parameters())
    for name, weight in clip.text_model.named_parameters():
        assert torch.equal(weight.float(), ours[name].float()), name


def test_a_second_noun_is_read_as_what_it_is(pipeline: StableDiffusionPipeline) -> None:
    kinds = ("cat", "car", "vase", "robot", "house", "boat", "duck", "chair")
    pairs = [(one, other) for one in kinds for other in kinds if one != other]

    def states(texts: Sequence[str], nouns: Sequence[str]) -> torch.Tensor:
        """Of the last occurrence of each text's noun."""
        tokens = pipeline.tokenizer(texts, padding="max_length", return_tensors="pt").input_ids
        of_noun = pipeline.tokenizer.convert_tokens_to_ids([f"{noun}</w>" for noun in nouns])
        where = [max((row == noun).nonzero()[:, 0]) for row, noun in zip(tokens, of_noun, strict=True)]
        with torch.no_grad():
            return pipeline.text_encoder(tokens)[0][range(len(texts)), where]

    alone = states([f"a photo of a {kind}" for kind in kinds], kinds)
    second = states([f"a photo of a {one} next to a {other}" for one, other in pairs], [p[1] for p in pairs])
    # what is common to all first nouns, and to all second ones, aside
    likeness = torch.cosine_similarity((second - second.mean(0))[:, None], (alone - alone.mean(0))[None], -1)
    read = [kinds[i] for i in likeness.argmax(1)]
    assert [r == other for r, (_, other) in zip(read, pairs, strict=True)].count(True) >= 0.95 * len(pairs)
    assert not any(r == one for r, (one, _) in zip(read, pairs, strict=True))


def test_embeddings_are_of_unit_length() -> None:
    judge = load_judge(str(TOYBOX / "clip"))
    texts = judge.embed_texts(["a photo of a red car", "a cat in the snow on a cobblestone street"])
    assert torch.allclose(texts.norm(dim=-1), torch.ones(2), atol=1e-5)


def test_latents_are_scaled_to_unit_variance(pipeline: StableDiffusionPipeline) -> None:
    generator = torch.Generator().manual_seed(0)
    images = pipeline(
        ["a photo of a red car on the beach", "a photo of a blue cat in the snow"],
        num_inference_steps=10,
        generator=generator,
        output_type="pt",
    ).images
    with torch.no_grad():
        latents = pipeline.vae.encode(images * 2 - 1).latent_dist.mean * pipeline.vae.config.scaling_factor
    assert 0.5 < latents.std() < 2


def test_it_paints_the_place_and_the_colour_that_were_asked_for(pipeline: StableDiffusionPipeline) -> None:
    prompts = [
        f"a photo of a {colour} ball {place}"
        for place in ("in the snow", "on grass")
        for colour in ("red", "blue")
    ]
    images = pipeline(
        prompts,
        num_inference_steps=12,
        guidance_scale=5.0,
        generator=[torch.Generator().manual_seed(0) for _ in prompts],
        output_type="pt",
    ).images
    ground = torch.cat([images[..., -24:, :16], images[..., -24:, -16:]], dim=-1).mean((2, 3))
    snow, grass = ground.unflatten(0, (2, 2)).mean(1)
    assert snow.min() > grass.mean() + 0.1
    assert grass[1] > max(grass[0], grass[2]) + 0.05
    balls = images[..., 24:104, 24:104].mean((2, 3))  # they may have a white pattern in the middle
    for red, blue in (balls[:2], balls[2:]):
        assert red[0] > blue[0] + 0.3
        assert blue[2] > red[2] + 0.2


def test_its_subject_encoder_knows_the_bear_in_another_place_rather_than_in_another_colour() -> None:
    encoder = load_subject_encoder(str(TOYBOX / "subject_encoder"))
    photos = [Image.open(path).convert("RGB") for path in sorted(BEAR.glob("*.jpg"))]
    recoloured = [Image.merge("RGB", photo.split()[::-1]) for photo in photos]
    seen, others = encoder.embed_images(photos), encoder.embed_images(recoloured)
    same = (seen @ seen.T).fill_diagonal_(-1)
    assert (same.max(1).values > (seen @ others.T).max(1).values).all()
