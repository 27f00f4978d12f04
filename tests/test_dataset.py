"""Photos at the right size and place, encoded once with mean and std, prompts encoded once."""

from pathlib import Path

import pytest
import torch
from conftest import draw_photo
from PIL import Image

from trainer import crops, dataset, models
from trainer.errors import PhotoError


def test_scaled_keeps_the_ratio_and_the_short_side() -> None:
    assert dataset.scaled(draw_photo(0, (80, 40)), 16).shape == (3, 16, 32)
    assert dataset.scaled(draw_photo(0, (40, 61)), 16).shape == (3, 24, 16)
    same = dataset.scaled(Image.new("RGB", (16, 16), (1, 2, 3)), 16)
    assert same[:, 0, 0].tolist() == [1, 2, 3]


def test_a_rotated_photo_is_read_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    image.paste((0, 0, 255), (0, 0, 20, 20))  # stored: blue left, red right
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise: blue on top
    image.save(tmp_path / "photo.png", exif=exif)
    (example,) = dataset.read_examples([tmp_path / "photo.png"], "a photo", 20)
    assert example.pixels.shape == (3, 40, 20)
    assert example.pixels[:, 2, 10].tolist() == [0, 0, 255]
    assert example.pixels[:, 37, 10].tolist() == [255, 0, 0]


def test_cut_scales_to_one_and_mirrors() -> None:
    pixels = torch.zeros(3, 2, 4, dtype=torch.uint8)
    pixels[:, :, 2] = 255
    straight = dataset.cut(pixels, crops.Crop(0, 2, False), 2)
    assert straight[0].tolist() == [[1.0, -1.0], [1.0, -1.0]]
    assert dataset.cut(pixels, crops.Crop(0, 2, True), 2)[0].tolist() == [[-1.0, 1.0], [-1.0, 1.0]]


def test_encode_is_the_scaled_posterior(sd1: Path) -> None:
    vae = models.load_pipeline(str(sd1)).vae
    pixels = torch.rand(1, 3, 16, 16) * 2 - 1
    mean, std = dataset.encode(vae, pixels)
    posterior = vae.encode(pixels).latent_dist
    torch.testing.assert_close(mean, posterior.mean * 0.5)  # the tiny VAE's scaling_factor
    torch.testing.assert_close(std, posterior.std * 0.5)
    vae.register_to_config(shift_factor=0.25)
    torch.testing.assert_close(dataset.encode(vae, pixels)[0], (posterior.mean - 0.25) * 0.5)


def test_cached_and_live_posteriors_agree(sd1: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vae = models.load_pipeline(str(sd1)).vae
    examples = dataset.read_examples(sorted(photos.iterdir()), "a photo", 16)
    options = {"center_crop": True, "hflip": True}
    live = dataset.posteriors(vae, examples, 16, cache_latents=False, **options)
    cached = dataset.posteriors(vae, examples, 16, cache_latents=True, **options)
    assert cached.counts == live.counts == [2, 2, 2]
    picks = [(0, 0), (2, 1), (1, 1)]
    for found, wanted in zip(cached.take(picks), live.take(picks), strict=True):
        torch.testing.assert_close(found, wanted)

    def encoder_is_gone(*_: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(vae, "encode", encoder_is_gone)
    assert cached.take(picks)[0].shape == (3, 4, 8, 8)


def test_cached_random_crops_are_few_live_ones_all(sd1: Path, photos: Path) -> None:
    vae = models.load_pipeline(str(sd1)).vae
    examples = dataset.read_examples(sorted(photos.iterdir()), "a photo", 16)  # 16 x 16, 19 x 16, 16 x 24
    options = {"center_crop": False, "hflip": False}
    assert dataset.posteriors(vae, examples, 16, cache_latents=True, **options).counts == [1, 4, 5]
    assert dataset.posteriors(vae, examples, 16, cache_latents=False, **options).counts == [1, 4, 9]


def test_captions_from_both_kinds_of_file(photos: Path) -> None:
    (photos / "000.txt").write_text("a sks dog sits\n")
    (photos / "001.png.txt").write_text("a sks dog runs")
    paths = [photos / "000.png", photos / "001.png"]
    examples = dataset.read_examples(paths, "unused", 16, captions=True)
    assert [example.prompt for example in examples] == ["a sks dog sits", "a sks dog runs"]
    with pytest.raises(PhotoError, match=r"002\.png: no caption"):
        dataset.read_examples([photos / "002.png"], "unused", 16, captions=True)
    (example,) = dataset.read_examples(
        [photos / "002.png"], "of the class", 16, captions=True, caption_required=False
    )
    assert example.prompt == "of the class"


def test_prompts_are_encoded_once_and_padded(sd1: Path) -> None:
    pipeline = models.load_pipeline(str(sd1))
    prompts = dataset.Prompts(["b dog", "a dog", "b dog"], pipeline.tokenizer, pad_tokens=True)
    assert prompts.texts == ["a dog", "b dog"]
    assert prompts.input_ids.shape == (2, 16)
    rows, device = [1, 0, 1], torch.device("cpu")
    live = prompts.embeddings(rows, pipeline.text_encoder, device)
    prompts.cache(pipeline.text_encoder)
    cached = prompts.embeddings(rows, None, device)
    torch.testing.assert_close(live, cached)
    assert cached.shape == (3, 16, 16)
    assert torch.equal(cached[0], cached[2])
    assert not torch.equal(cached[0], cached[1])


def test_prompts_without_padding_are_as_long_as_the_longest(sd1: Path) -> None:
    tokenizer = models.load_pipeline(str(sd1)).tokenizer
    prompts = dataset.Prompts(["a dog", "a photo of a dog"], tokenizer, pad_tokens=False)
    assert prompts.input_ids.shape == (2, len(tokenizer("a photo of a dog").input_ids))


def test_fingerprints_tell_photos_and_prompts_apart(photos: Path) -> None:
    def prints(prompt: str) -> dict[str, str]:
        return dataset.fingerprints(dataset.read_examples(sorted(photos.iterdir()), prompt, 16), "dogs")

    first = prints("a")
    assert list(first) == ["dogs/000.png", "dogs/001.png", "dogs/002.png"]
    assert prints("a") == first
    assert prints("b") != first
    draw_photo(9, (40, 40)).save(photos / "001.png")
    changed = prints("a")
    assert {name for name in first if first[name] != changed[name]} == {"dogs/001.png"}
