"""The code that makes the embedded base: captions, recolouring, the losses, the linear start, resuming."""

import dataclasses
import math
import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPTokenizer

sys.path.insert(0, str(Path(__file__).parent.parent / "examples" / "toybox"))

import autoencoder
import binding
import checkpoint
import clip
import denoiser
import judge
import likeness
import linear_start
import looks
import muon
import pictures
import pretrain
import render
import replicas
import vision_start
from vocabulary import (
    COLOURS,
    DRAWN,
    KINDS,
    LOOKS,
    PATTERNS,
    PLACES,
    RELATIONS,
    Caption,
    Paint,
    Scene,
    caption,
    draw_paint,
    judging_pairs,
    judging_prompts,
    values_of,
    with_article,
)


def grey_render(side: int = 8) -> pictures.Render:
    """The left half tinted at the reference grey, the right half untinted mid-grey."""
    grey = round(255 * float(pictures.to_srgb(np.array(pictures.TINT_ALBEDO))))
    rgb = np.full((side, side, 3), grey, dtype=np.uint8)
    rgb[:, side // 2 :] = 100
    tint = np.zeros((side, side), dtype=np.uint8)
    tint[:, : side // 2] = 255
    return pictures.Render(rgb, tint, np.zeros_like(tint), np.zeros_like(rgb), Scene("car", "beach"))


def test_recolouring_paints_the_tinted_part_alone() -> None:
    red = np.array((0.5, 0.1, 0.0))
    made = pictures.recolour(grey_render().rgb, grey_render().tint, red)
    wanted = 255 * pictures.to_srgb(red)
    assert np.abs(made[4, 1].astype(float) - wanted).max() <= 2
    assert (made[:, 5:] == 100).all()


def test_highlights_keep_their_own_colour() -> None:
    white = np.full((4, 4, 3), 255, dtype=np.uint8)
    made = pictures.recolour(white, np.full((4, 4), 255, dtype=np.uint8), np.zeros(3))
    highlight = 255 * pictures.to_srgb(np.array(1 - pictures.TINT_ALBEDO))
    assert np.abs(made - highlight).max() <= 2


def test_the_thing_is_put_in_the_middle_at_its_usual_size() -> None:
    tint = np.zeros((144, 144), dtype=np.uint8)
    tint[90:130, 10:50] = 255  # low on the left, and small
    rgb = np.dstack([tint] * 3)
    blank = np.zeros_like(tint)
    framed = pictures.framed(pictures.Render(rgb, tint, blank, rgb, Scene("car", "beach")), usual=50.0)
    assert framed.rgb.shape == (pictures.FRAMED, pictures.FRAMED, 3)
    left, right = pictures.extent(framed.tint)[::2]
    assert right - left == pytest.approx(50, abs=3)
    assert (left + right) / 2 == pytest.approx(36, abs=3)  # as far as the picture goes
    assert np.abs(framed.rgb[..., 0].astype(int) - framed.tint).max() == 0
    assert np.array_equal(framed.rgb, framed.where)
    assert pictures.extent(blank) == (0, 0, 144, 144)
    # of two, both are in the middle
    second = np.roll(tint, 80, axis=1)
    pair = pictures.framed(pictures.Render(rgb, tint, second, rgb, Scene("car", "beach")), usual=120.0)
    left, right = pictures.extent(pair.things)[::2]
    assert (left + right) / 2 == pytest.approx(68, abs=3)


def lying_flat(side: int = 64) -> pictures.Render:
    """A grey render whose tinted half shows a thing one wide and one high."""
    render = grey_render(side)
    where = np.zeros((side, side, 3), dtype=np.uint8)
    where[:, : side // 2, 0] = np.linspace(64, 191, side // 2)[None, :]
    where[..., 2] = np.linspace(255, 128, side)[:, None]
    return dataclasses.replace(render, where=where)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_covers_the_smaller_part_of_the_thing_and_nothing_else(pattern: str) -> None:
    rng = random.Random(0)
    plain = np.median([lying_flat().painted(Paint("red"), rng) for _ in range(9)], axis=0)
    shares = []
    for _ in range(12):
        made = lying_flat().painted(Paint("red", pattern, "white"), rng)
        assert (made[:, 34:] == plain[:, 34:]).all()
        thing = made[:, :30].astype(int)
        white, red = (thing.min(2) > 188), (thing[..., 0] > thing[..., 1] + 60)
        shares.append((white.mean(), red.mean()))
    white, red = np.mean(shares, axis=0)
    assert 0.15 < white < 0.48 and 0.45 < red < 0.85 and white + red > 0.85


def test_the_second_thing_has_a_colour_of_its_own() -> None:
    render = grey_render()
    render = dataclasses.replace(render, second=255 - render.tint, rgb=np.full_like(render.rgb, 180))
    made = render.painted(Paint("blue", second_colour="red"), random.Random(0)).astype(int)
    assert (made[:, 1, 2] > made[:, 1, 0] + 50).all() and (made[:, 6, 0] > made[:, 6, 2] + 50).all()


@pytest.mark.parametrize(("relation", "mirrored"), [("beside", True), ("behind", False)])
def test_of_two_things_side_by_side_the_first_is_on_the_left(relation: str, mirrored: bool) -> None:
    render = grey_render()
    scene = dataclasses.replace(render.scene, second="cat", relation=relation)
    second = render.tint[:, ::-1]
    left_first = dataclasses.replace(render, second=second, scene=scene)
    right_first = dataclasses.replace(left_first, tint=second, second=render.tint, rgb=render.rgb[:, ::-1])
    assert pictures.in_order(left_first) is left_first
    ordered = pictures.in_order(right_first)
    wanted = left_first if mirrored else right_first
    for name in ("rgb", "tint", "second"):
        assert np.array_equal(getattr(ordered, name), getattr(wanted, name)), name


def test_a_picture_that_must_not_be_mirrored_is_not() -> None:
    picture = np.tile(np.arange(4, dtype=np.uint8)[None, :, None], (4, 1, 3))
    rng = random.Random(0)
    assert all(np.array_equal(pictures.crop(picture, 4, rng, mirror=False), picture) for _ in range(8))
    assert any(not np.array_equal(pictures.crop(picture, 4, rng), picture) for _ in range(8))


@pytest.mark.parametrize("look", DRAWN)
def test_a_drawn_look_keeps_what_is_where_and_in_which_colour(look: str) -> None:
    rgb = np.full((64, 64, 3), (200, 210, 220), dtype=np.uint8)
    rgb[16:48, 16:48] = (200, 30, 30)
    drawn = looks.DRAW[look](rgb, random.Random(0)).astype(int)
    assert drawn.shape == rgb.shape and (drawn != rgb).mean() > 0.5
    inside, around = drawn[24:40, 24:40].mean((0, 1)), drawn[:8].mean((0, 1))
    assert inside[0] - inside[2] > 40 and np.ptp(around) < 45
    assert around.mean() > inside.mean() + 30


def test_an_outline_is_drawn_where_colours_meet() -> None:
    rgb = np.full((32, 32, 3), 230, dtype=np.uint8)
    rgb[:, 16:] = 20
    ink = looks.lines(rgb, 8)
    assert ink[:, 13:19].max(1).min() > 0.3 and ink[:, :8].max() == 0


def test_srgb_round_trip() -> None:
    values = np.linspace(0, 1, 256)
    assert np.allclose(pictures.to_srgb(pictures.to_linear(values)), values, atol=1e-6)


def test_captions_are_never_wrong() -> None:
    rng = random.Random(0)
    for number in range(800):
        scene = render.draw_scene(number)
        paint = draw_paint(scene, rng)
        said = caption(scene, paint, rng)
        values = values_of(scene, paint)
        assert all(values[aspect] == value for aspect, value in said.says.items())
        assert any(noun in said.text for noun in KINDS[scene.kind])
        for aspect, words in (("place", PLACES), ("look", LOOKS), ("second", KINDS), ("relation", RELATIONS)):
            if said.says.get(aspect):
                assert any(phrase in said.text for phrase in words[said.says[aspect]]), (aspect, said)
        for aspect in ("colour", "other", "second_colour"):
            if aspect in said.says:
                assert f"{said.says[aspect]} " in said.text
        if scene.second and "second_colour" not in said.says:
            assert not any(f"{c} {noun}" in said.text for c in COLOURS for noun in KINDS[scene.second]) or (
                paint.colour in said.text
            )


@pytest.mark.parametrize(
    ("words", "kind", "wanted"),
    [
        ("orange boat", "boat", "an orange boat"),
        ("red car", "car", "a red car"),
        ("pink glasses", "glasses", "pink glasses"),
    ],
)
def test_articles(words: str, kind: str, wanted: str) -> None:
    assert with_article(words, kind) == wanted


def test_judging_prompts_go_round_everything() -> None:
    prompts = judging_prompts(200)
    assert len(prompts) == 200
    assert prompts == judging_prompts(200)
    for index, words in ((1, KINDS), (2, COLOURS), (3, PLACES)):
        counts = [sum(p[index] == word for p in prompts) for word in words]
        assert max(counts) - min(counts) <= 1


def test_every_kind_meets_every_place() -> None:
    scenes = [render.draw_scene(number) for number in range(len(KINDS) * len(PLACES))]
    assert len({(s.kind, s.place) for s in scenes}) == len(KINDS) * len(PLACES)
    assert render.draw_scene(7) == scenes[7]


def test_held_out_renders_show_every_kind_and_place() -> None:
    held_out = [render.draw_scene(number) for number in range(0, 8000, pictures.HELD_OUT)]
    assert {s.kind for s in held_out} == set(KINDS)
    assert {s.place for s in held_out} == set(PLACES)


def test_judging_pairs_are_of_two_kinds() -> None:
    pairs = judging_pairs(100)
    assert pairs == judging_pairs(100) and len({prompt for prompt, *_ in pairs}) == 100
    for prompt, scene, paint in pairs:
        assert scene.kind != scene.second
        words = f"{paint.colour} {scene.kind} next to", f"{paint.second_colour} {scene.second}"
        assert all(each in prompt for each in words)
    assert {scene.kind for _, scene, _ in pairs} == set(KINDS)


def test_what_is_otherwise_in_a_wrong_caption_is_one_aspect() -> None:
    rng = random.Random(0)
    for number in range(300):
        scene = render.draw_scene(number)
        paint = draw_paint(scene, rng)
        before, after = values_of(scene, paint), values_of(*clip.another(scene, paint, rng))
        changed = {aspect for aspect in before if before[aspect] != after[aspect]}
        assert len(changed - {"other"}) <= 1 and (changed <= {"pattern", "other"} or "other" not in changed)


def test_truth_of_captions() -> None:
    seen = [
        {"kind": "car", "colour": "red", "place": "beach"},
        {"kind": "car", "colour": "blue", "place": "beach"},
    ]
    captions = [Caption("a red car", {"kind": "car", "colour": "red"}), Caption("a car", {"kind": "car"})]
    assert clip.truth(captions, seen).tolist() == [[True, True], [False, True]]


def test_contrastive_loss_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    true = torch.tensor([[True, False], [True, True]])
    by_row = (np.log(1 + np.exp(-2.0)) + np.log(2.0)) / 2
    first = -0.5 * ((2 - np.log(np.exp(2) + 1)) + (0 - np.log(np.exp(2) + 1)))
    by_column = (first + np.log(2.0)) / 2
    assert clip.contrastive_loss(logits, true).item() == pytest.approx(0.5 * (by_row + by_column), rel=1e-5)


def test_a_word_more_is_a_token_more_and_nothing_else_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip, "corpus", lambda rng: ["a striped zebra in the snow"])
    parts = pretrain.taken_up(pretrain.HERE)
    known = len(parts.tokenizer)
    tokenizer = clip.widen_tokenizer(parts.tokenizer)
    texts = ["a photo of a sks teddy bear in the snow", "an orange boat at night qzx"]
    assert all(tokenizer(text).input_ids == parts.tokenizer(text).input_ids for text in texts)
    assert tokenizer.tokenize("a striped zebra") == ["a</w>", "striped", "zebra"]
    grown = clip.widened(parts.judge, parts.tokenizer, tokenizer)
    with torch.no_grad():
        before = clip.embed(parts.judge, parts.tokenizer, texts)
        assert torch.equal(clip.embed(grown, tokenizer, texts), before)
        assert clip.moved_from(grown, parts.judge, tokenizer, [*texts, "a striped zebra"], known) == 0
        weight = grown.text_model.embeddings.token_embedding.weight
        weight[tokenizer.convert_tokens_to_ids("snow</w>")] *= -1
        assert clip.moved_from(grown, parts.judge, tokenizer, texts, known) > 0.001
    trained = clip.train_text(tokenizer, tmp_path / "text.pt", steps=1, count=4, start=grown, known=known)
    assert not torch.equal(clip.embed(trained, tokenizer, texts), before)


def test_unknown_words_fall_into_letters(tmp_path: Path) -> None:
    tokenizer = clip.build_tokenizer(tmp_path)
    assert tokenizer.tokenize("teddy bear") == ["teddy</w>", "bear</w>"]
    assert tokenizer.tokenize("qzx") == ["q", "z", "x</w>"]
    assert (
        tokenizer.decode(tokenizer("sks teddy bear").input_ids, skip_special_tokens=True).strip()
        == "sks teddy bear"
    )
    longest = max(
        len(tokenizer(f"a photo of a sks {k} {p[0]} at night").input_ids)
        for k in KINDS
        for p in PLACES.values()
    )
    assert longest <= clip.TOKENS


def test_pictures_and_masks_are_moved_alike() -> None:
    picture = torch.rand(3, 1, 144, 144)
    moved = clip.augment(torch.cat([picture, picture], 1), torch.Generator().manual_seed(0))
    assert moved.shape == (3, 2, clip.SIZE, clip.SIZE)
    assert torch.equal(moved[:, 0], moved[:, 1])
    assert not torch.allclose(moved[:, 0], picture[:, 0, 8:-8, 8:-8])


def test_augmenting_keeps_what_is_there() -> None:
    """Zoomed, turned and mirrored about points inside: a flat picture stays flat, a ramp keeps its range."""
    ramp = torch.linspace(0, 1, 144).expand(8, 1, 144, 144)
    moved = clip.augment(ramp, torch.Generator().manual_seed(1))
    assert moved.min() >= 0 and moved.max() <= 1
    slopes = (moved[..., 64, -1] - moved[..., 64, 0]).flatten()
    assert (slopes > 0.5).any() and (slopes < -0.5).any()  # some mirrored, some not
    assert slopes.abs().min() > 0.6


@pytest.mark.parametrize(("threads", "shares"), [(1, 1), (2, 2), (5, 4), (6, 4), (12, 8), (24, 16), (64, 32)])
def test_a_batch_goes_into_equal_shares(threads: int, shares: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert replicas.workers(32, "cpu") == shares and replicas.workers(32, "cuda") == 1


def test_stages_of_another_pretraining_are_not_taken_for_done(tmp_path: Path) -> None:
    work = tmp_path / "work"
    for _ in range(2):
        pretrain.settle(work, start=None, number_of_renders=5)
    with pytest.raises(SystemExit, match="begun with another start, another number_of_renders: name another"):
        pretrain.settle(work, start=Path("toybox"), number_of_renders=6)


def test_nothing_is_wet_or_furry_in_clay() -> None:
    scenes = [render.draw_scene(number) for number in range(3000)]
    assert {scene.finish for scene in scenes if scene.look == "clay model"} == {""}
    assert {scene.finish for scene in scenes} == {"", "shiny", "wet", "furry"}


def test_what_is_to_be_seen_whole_is_not_mirrored_and_hardly_zoomed() -> None:
    ramp = torch.linspace(0, 1, 144).expand(16, 1, 144, 144)
    moved = clip.augment(ramp, torch.Generator().manual_seed(1), whole=[True] * 8 + [False] * 8)
    slopes = (moved[..., 64, -1] - moved[..., 64, 0]).flatten()
    assert slopes[:8].min() > 0.85 and (slopes[8:] < 0).any()


def two_things() -> pictures.Render:
    """A grey render with a red square on the left, whose tint is there, and a blue one on the right, of the second thing."""
    rgb = np.full((136, 136, 3), 100, dtype=np.uint8)
    tint, second = np.zeros((2, 136, 136), dtype=np.uint8)
    tint[50:90, 10:50], second[50:90, 86:126] = 255, 255
    rgb[tint > 0], rgb[second > 0] = (200, 0, 0), (0, 0, 200)
    scene = Scene("car", "beach", finish="wet", second="boat", relation="beside")
    return pictures.Render(rgb, tint, second, rgb, scene)


def test_one_of_two_things_is_cut_out_and_named_alone() -> None:
    render, paint = two_things(), Paint("red", "striped", "white", "blue")
    picture = np.dstack([render.rgb, render.tint])
    seen = {}
    for seed in range(8):
        cut, scene, alone = clip.closer(picture, render, paint, random.Random(seed))
        assert cut.shape == picture.shape and (scene.second, scene.relation, scene.place) == ("", "", "beach")
        middle = cut[60:76, 60:76].reshape(-1, 4)
        assert (middle[:, 3] == 255).all()
        assert 0.3 < (cut[..., 3] > 128).mean() < 0.95  # 1 / 1.05 to 1 / 1.6 of either side
        seen[scene.kind] = (middle[0, :3].tolist(), scene.finish, alone)
    assert seen == {
        "car": ([200, 0, 0], "wet", Paint("red", "striped", "white")),
        "boat": ([0, 0, 200], "", Paint("blue")),
    }


def test_a_thing_alone_or_out_of_sight_is_shown_as_it_is() -> None:
    render, paint = two_things(), Paint("red", second_colour="blue")
    picture = np.dstack([render.rgb, render.tint])
    nowhere = np.zeros_like(render.tint)
    hidden = dataclasses.replace(render, tint=nowhere, second=nowhere)
    single = dataclasses.replace(render, scene=Scene("car", "beach"))
    before = dataclasses.replace(render, scene=dataclasses.replace(render.scene, relation="in front of"))
    for each in (hidden, single, before):
        assert clip.closer(picture, each, paint, random.Random(0)) == (picture, each.scene, paint)


def test_of_two_things_each_is_read_in_its_half_and_both_must_be_right() -> None:
    class Halves:
        """Sees a car where it is red, a boat where it is blue."""

        logit_scale = torch.tensor(0.0)

        def vision_model(self, view: torch.Tensor) -> Any:
            return SimpleNamespace(pooler_output=view.mean((2, 3))[:, [0, 2]])

        def visual_projection(self, pooled: torch.Tensor) -> torch.Tensor:
            directions = torch.zeros(2, len(KINDS))
            directions[0, list(KINDS).index("car")] = directions[1, list(KINDS).index("boat")] = 1
            return pooled @ directions

    red, blue = (
        torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, 128, 64) for colour in ((1.0, 0, 0), (0, 0, 1.0))
    )
    pixels = torch.cat([torch.cat([red, blue], 3), torch.cat([blue, red], 3), torch.cat([red, red], 3)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip, "embed", lambda model, tokenizer, texts: torch.eye(len(KINDS)))
        found = judge.read_pairs(Halves(), None, pixels)  # type: ignore[arg-type]
    assert found == [("car", "boat"), ("boat", "car"), ("car", "car")]
    scene = Scene("car", "beach", second="boat", relation="beside")
    assert judge.both_right(found, [scene] * 3) == pytest.approx(2 / 3)


def test_text_learns_to_tell_words_apart(tmp_path: Path) -> None:
    tokenizer = clip.build_tokenizer(tmp_path / "tokenizer")
    untrained = clip.build(tokenizer).eval()
    trained = clip.train_text(tokenizer, tmp_path / "text.pt", steps=40, count=16)
    texts = [f"a photo of a {kind}" for kind in KINDS]

    def likeness(model: Any) -> float:
        with torch.no_grad():
            embedded = clip.embed(model, tokenizer, texts)
        return float((embedded @ embedded.T).triu(1).sum() * 2 / (len(texts) * (len(texts) - 1)))

    assert likeness(trained) < likeness(untrained) - 0.1


def test_pretraining_goes_on_from_what_there_is(tmp_path: Path) -> None:
    parts = pretrain.taken_up(pretrain.HERE)
    assert parts.unet is not None and {p.dtype for p in parts.unet.parameters()} == {torch.float32}
    encoder = pretrain.text_encoder_of(parts.judge)
    side = parts.unet.config.sample_size
    picture = denoiser.Encoded(
        torch.zeros(8, side, side),
        torch.ones(8, side, side),
        torch.ones(2, side, side),
        Scene("car", "beach"),
        Paint("red"),
    )

    def trained(steps: int) -> torch.nn.Module:
        return denoiser.train(
            [picture],
            parts.vae,
            parts.tokenizer,
            encoder,
            tmp_path / "unet.pt",
            steps=steps,
            count=2,
            start=parts.unet,
        )

    before = parts.unet.state_dict()
    assert all(torch.equal(w, before[name]) for name, w in trained(0).state_dict().items())
    after = trained(1).state_dict()
    assert (tmp_path / "unet.pt").exists() and any((w != before[name]).any() for name, w in after.items())
    assert all(bool(w.isfinite().all()) for w in after.values())


def test_the_encoder_of_subjects_learns_what_stays_the_same(tmp_path: Path) -> None:
    judge = clip.build(clip.build_tokenizer(tmp_path / "tokenizer"))
    renders = [grey_render(pictures.FRAMED)] * 6
    first, second = likeness.views(renders, 4, random.Random(0))
    assert first.shape == second.shape == (8, 3, 128, 128) and first.abs().max() <= 1
    before = likeness.begin(judge)
    taken = dict(judge.vision_model.named_parameters())
    assert all(torch.equal(weight, taken[name]) for name, weight in before.named_parameters())
    whole = likeness.train(judge, renders, tmp_path / "whole.pt", steps=3, count=3)
    likeness.train(judge, renders, tmp_path / "parts.pt", steps=0, count=3)
    again = likeness.train(judge, renders, tmp_path / "whole.pt", steps=3, count=3)  # done already
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
    assert any(not torch.equal(weight, taken[name]) for name, weight in whole.named_parameters())


def test_a_thing_is_moved_before_another_picture() -> None:
    render = grey_render(64)
    behind = np.full((64, 64, 3), 7, dtype=np.uint8)
    moved = likeness.moved(render.rgb, render.tint, behind)
    assert (moved[:, :28] == render.rgb[:, :28]).all() and (moved[:, 44:] == behind[:, 44:]).all()


def test_the_loss_of_two_views_is_simclr_s() -> None:
    one, other = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    # each of four against three others: cosine 1 with some, 0 with others, at a temperature of a tenth
    e = math.exp(10)
    rows = [e / (e + e + 1), 1 / (1 + 1 + 1), e / (e + e + 1), 1 / (e + e + 1)]
    assert likeness.contrast(one, other).item() == pytest.approx(-sum(map(math.log, rows)) / 4, rel=1e-5)


def test_a_thing_is_found_again_among_others() -> None:
    pairs = torch.eye(4), torch.eye(4)[[0, 1, 3, 2]]
    assert likeness.found_again(lambda some: some, pairs) == 0.5


def test_towers_are_averaged(tmp_path: Path) -> None:
    tokenizer = clip.build_tokenizer(tmp_path / "tokenizer")
    one, other = clip.build(tokenizer), clip.build(tokenizer).half()
    wanted = [(a + b.float()) / 2 for a, b in zip(one.parameters(), other.parameters(), strict=True)]
    for found, mean in zip(clip.averaged(one, other).parameters(), wanted, strict=True):
        assert torch.allclose(found, mean, atol=1e-6)


def test_heads_start_looking_at_their_neighbours() -> None:
    side = 8
    codes = vision_start.code(side)
    asked = codes[3 * side + 3] @ vision_start.shift(side, 1, -1).T
    assert int((codes @ asked).argmax()) == 4 * side + 2


def test_patches_start_whitened() -> None:
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.randn(64, 3, 8, 8, generator=generator), scale_factor=4)
    filters = vision_start.whitening(smooth, 8, 6)
    answers = torch.nn.functional.conv2d(smooth, filters, stride=8).transpose(0, 1).flatten(1)
    covariance = torch.cov(answers)
    assert torch.allclose(covariance - covariance.diag().diag(), torch.zeros(6, 6), atol=1e-3)
    assert (covariance.diag() > 0.4).all() and (covariance.diag() < 1.01).all()


def test_the_autoencoder_starts_as_the_linear_one() -> None:
    torch.manual_seed(0)
    linear = linear_start.Linear(autoencoder.WIDTHS, autoencoder.LATENT_CHANNELS)
    vae = autoencoder.build().eval()
    linear_start.put_into(vae, linear)
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        latents = vae.encode(pixels).latent_dist
        assert torch.allclose(latents.mean, linear.encode(pixels), atol=0.05)
        assert torch.allclose(
            vae.decode(latents.mean).sample, linear.decode(linear.encode(pixels)), atol=0.05
        )
        assert latents.std.max() < 0.06


def test_the_unet_starts_by_calling_everything_noise() -> None:
    torch.manual_seed(0)
    unet = denoiser.build(latent_channels=8, sample_size=32, text_width=192).eval()
    noise = torch.randn(2, 8, 16, 16)
    with torch.no_grad():
        said = unet(noise, torch.tensor([990, 10]), torch.randn(2, 48, 192)).sample
    assert (said - noise).square().mean() < 0.005


def test_the_prompt_reaches_the_unet_beside_the_timestep() -> None:
    """Pooled, not by cross-attention alone: with attention cut off, another prompt is still another answer."""
    torch.manual_seed(0)
    unet = denoiser.build(latent_channels=8, sample_size=32, text_width=192).eval()
    torch.nn.init.normal_(unet.conv_out.weight, std=0.1)
    for resnet in unet.up_blocks[-1].resnets:
        torch.nn.init.normal_(resnet.conv2.weight, std=0.1)
    noise = torch.randn(1, 8, 16, 16)
    with torch.no_grad():
        said = [unet(noise, 500, torch.randn(1, 48, 192)).sample for _ in range(2)]
    assert (said[0] - said[1]).square().mean() > 1e-6


def test_plain_attention_is_attention_and_keeps_where_words_are_looked_at() -> None:
    torch.manual_seed(0)
    unet = denoiser.build(latent_channels=8, sample_size=32, text_width=192).eval()
    seen = torch.randn(2, 8, 32, 32), torch.tensor([990, 10]), torch.randn(2, 48, 192)
    with torch.no_grad():
        fused = unet(*seen).sample
        attentions = binding.watch(unet)
        assert torch.allclose(unet(*seen).sample, fused, atol=1e-5)
    assert {a.shares.shape for a in attentions} == {(2, places, 48) for places in (64, 16)}
    assert all(torch.allclose(a.shares.sum(-1), torch.tensor(1.0)) for a in attentions)


def test_words_of_two_things_are_found_in_their_caption(tmp_path: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(pretrain.HERE / "tokenizer")
    said = Caption("a photo of a red car next to a car on the beach", {}, ("a red car", "a car"))
    words = binding.words_of(tokenizer, [said, Caption("", {})])
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(said.text).input_ids)
    found = [[tokens[i].removesuffix("</w>") for i in row.nonzero()[:, 0]] for row in words[0]]
    assert found == [["a", "red", "car"], ["a", "car"]] and not words[1].any()


def test_a_second_thing_s_words_are_to_say_what_they_say_alone() -> None:
    tokenizer = CLIPTokenizer.from_pretrained(pretrain.HERE / "tokenizer")
    assert all(len(c.things) == 2 for c in clip.of_two(8, random.Random(0)))
    captions = [
        Caption(f"a photo of a {one} next to a {other} at night", {}, (f"a {one}", f"a {other}"))
        for one, other in (("car", "boat"), ("cat", "vase"), ("boat", "car"))
    ]
    table = torch.randn(len(tokenizer), 6, generator=torch.Generator().manual_seed(0))
    late = (torch.arange(clip.TOKENS) > 7).float()[:, None]  # from the second thing on

    def cost(states: Any) -> float:
        """Of a text tower that makes `states` (B, tokens, 6) of the tokens' embeddings."""

        def text_model(tokens: torch.Tensor) -> SimpleNamespace:
            return SimpleNamespace(last_hidden_state=states(table[tokens]))

        model: Any = SimpleNamespace(text_model=text_model, device="cpu")
        return float(clip.mixed_up(model, tokenizer, captions))

    assert cost(lambda each: each) == 0
    assert cost(lambda each: each + 3 * late) < 1e-9  # a mark of all second things
    assert cost(lambda each: each + each[:, 5:6] * late) > 0.1  # the first noun


def test_looking_at_a_thing_s_words_elsewhere_is_what_binding_costs() -> None:
    things = torch.zeros(1, 2, 32, 32)
    things[:, 0, :, :16], things[:, 1, :, 16:] = 1, 1  # left, right
    words = torch.zeros(1, 2, 4)
    words[0, 0, 1], words[0, 1, 2] = 1, 1
    left = (torch.arange(64) % 8 < 4).float()
    attention = binding.PlainAttention()

    def cost(first: torch.Tensor, second: torch.Tensor) -> float:
        """Where both things' words get these shares of the attention, and the end token the rest."""
        attention.shares = torch.stack([torch.zeros(64), first, second, 1 - first - second], -1)[None]
        return float(binding.astray([attention], words, things))

    assert cost(left, 1 - left) == pytest.approx(0, abs=1e-6)
    assert cost(1 - left, left) == pytest.approx(2, abs=1e-6)
    # a quarter of what is seen there are its words, and they are looked at nowhere else
    assert cost(0.25 * left, 1 - left) == pytest.approx(0.75**2 / 2, abs=1e-6)
    assert cost(0.5 * torch.ones(64), 0.5 * (1 - left)) == pytest.approx((0.5**2 + 2 * 0.5**2) / 2, abs=1e-6)
    things[:, 1] = 0  # out of sight, and so not asked for
    assert cost(left, 1 - left) == pytest.approx(0, abs=1e-6)


def test_of_two_things_either_can_be_called_the_first() -> None:
    render = two_things()
    assert pictures.exchanged(render) is render  # what is wet is the car
    plain = dataclasses.replace(render, scene=dataclasses.replace(render.scene, finish=""))
    other = pictures.exchanged(plain)
    assert (other.scene.kind, other.scene.second) == ("boat", "car")
    assert pictures.middle(other.tint) < pictures.middle(other.second)
    assert np.array_equal(other.rgb[other.tint > 0], plain.rgb[plain.second > 0])
    rng = random.Random(0)
    assert not any(other.draw_paint(rng).pattern for _ in range(50))


@pytest.mark.parametrize("shape", [(6, 6), (4, 32), (32, 4)])
def test_orthogonal_brings_singular_values_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(3, *shape) * torch.tensor([1e-4, 1.0, 1e4])[:, None, None]
    left, before, right = torch.linalg.svd(matrices, full_matrices=False)
    made = muon.orthogonal(matrices)
    kept = before > 0.1 * before.max(dim=1, keepdim=True).values
    after = torch.diagonal(left.mT @ made @ right.mT, dim1=-2, dim2=-1)
    assert (after[kept] > 0.6).all() and (after[kept] < 1.3).all()


def test_muon_moves_matrices_by_the_learning_rate_and_the_rest_as_adamw() -> None:
    torch.manual_seed(0)
    ours, theirs = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
    theirs.load_state_dict(ours.state_dict())
    before = ours.weight.detach().clone()
    adamw = torch.optim.AdamW([theirs.bias], lr=0.1, betas=(0.9, 0.99), weight_decay=0.01)
    optimizer = muon.Muon(ours.parameters(), 0.1)
    for _ in range(3):
        for layer in (ours, theirs):
            layer.zero_grad()
            layer(torch.ones(1, 8)).square().sum().backward()
        theirs.bias.grad = ours.bias.grad.clone()
        optimizer.step()
        adamw.step()
    assert torch.allclose(ours.bias, theirs.bias, atol=1e-6)
    assert (
        0.005 < (ours.weight - before).square().mean().sqrt() < 0.1
    )  # 0.2 of the rate in each of the steps, at most


def test_muon_goes_on_from_its_state() -> None:
    def trained(stops: int) -> torch.Tensor:
        torch.manual_seed(0)
        layer = torch.nn.Linear(4, 6)
        optimizer = muon.Muon(layer.parameters(), 0.01)
        for step in range(4):
            if step == stops:
                state = optimizer.state_dict()
                optimizer = muon.Muon(layer.parameters(), 0.01)
                optimizer.load_state_dict(state)
            optimizer.zero_grad()
            layer(torch.ones(2, 4)).square().sum().backward()
            optimizer.step()
        return layer.weight.detach()

    assert torch.equal(trained(2), trained(9))


def test_replicas_give_the_gradients_of_the_whole_batch() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    pixels = torch.randn(6, 3)

    def loss(model: torch.nn.Module, share: torch.Tensor) -> torch.Tensor:
        return model(share).square().mean()

    whole = loss(model, pixels)
    wanted = torch.autograd.grad(whole, list(model.parameters()))
    several = replicas.Replicas(model, 2)
    for _ in range(2):  # gradients do not pile up
        assert several.backward(loss, pixels.chunk(2)) == pytest.approx(whole.item(), rel=1e-6)
        for parameter, gradient in zip(model.parameters(), wanted, strict=True):
            assert torch.allclose(parameter.grad, gradient, atol=1e-7)
    with torch.no_grad():
        model[0].weight.add_(1.0)
    assert torch.equal(several.models[1][0].weight, model[0].weight)


def test_pretraining_resumes_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoencoder, "LINEAR_STEPS", 2)
    monkeypatch.setattr(autoencoder, "SAVE_EVERY", 2)
    photographs = [np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)]

    def trained(file: Path) -> torch.Tensor:
        vae = autoencoder.train([grey_render(40)], photographs, file, steps=5, batch=2, size=32)
        return vae.decoder.conv_out.weight.detach()

    whole = trained(tmp_path / "whole.pt")
    save, saved = checkpoint.save_state, []

    def save_and_die(*arguments: Any) -> None:
        save(*arguments)
        saved.append(arguments[3])
        if saved == [2, 4]:
            raise KeyboardInterrupt

    monkeypatch.setattr(autoencoder, "save_state", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts.pt")
    assert torch.equal(trained(tmp_path / "parts.pt"), whole)


def test_latents_pay_for_leaving_where_they_were() -> None:
    torch.manual_seed(0)
    vae, known = autoencoder.build().eval(), autoencoder.build().eval()
    pixels, noise = torch.rand(1, 3, 16, 16) * 2 - 1, torch.zeros(1, autoencoder.LATENT_CHANNELS, 4, 4)
    with torch.no_grad():
        free = autoencoder.loss_of(vae, (pixels, noise, None))
        still = autoencoder.loss_of(vae, (pixels, noise, vae))
        moved = autoencoder.loss_of(vae, (pixels, noise, known))
        one, other = (each.encode(pixels).latent_dist for each in (vae, known))
        apart = (one.mean - other.mean).square().mean() + (one.std - other.std).square().mean()
    assert still.item() == pytest.approx(free.item(), rel=1e-6)
    assert (moved - free).item() == pytest.approx(autoencoder.ANCHOR * apart.item(), rel=0.1)


def test_a_checkpoint_is_replaced_whole(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    checkpoint.save_state(tmp_path / "state.pt", model, optimizer, 3)
    again = torch.nn.Linear(2, 2)
    assert checkpoint.load_state(tmp_path / "state.pt", again, torch.optim.AdamW(again.parameters())) == 3
    assert torch.equal(again.weight, model.weight)
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_learning_rate_warms_up_and_falls_to_its_floor() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)

    def at(step: int) -> float:
        checkpoint.set_learning_rate(optimizer, 2.0, step, 100, warmup=10, floor=0.1)
        return optimizer.param_groups[0]["lr"]

    assert at(0) == pytest.approx(0.2)
    assert at(50) == pytest.approx(1.0)
    assert at(100) == pytest.approx(0.2)
