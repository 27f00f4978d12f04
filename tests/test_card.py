"""The model card: what is in it, and that what a user wrote stays text."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from PIL import Image

from trainer import card, choice, concept
from trainer.choice import Judged, Report, Yardstick
from trainer.config import training_config

NASTY = [
    "sks dog\nlicense: mit\n---\n# Owned",
    "sks'\": {a: [b}, *c &d !!python/object x",
    "``` sks ```` dog `",
    "<script>alert(1)</script><img src=x onerror=y>",
    "[click](https://evil.example) ![x](https://evil.example/x.png) https://evil.example www.evil.example a@evil.example",
    "a | b \\| c || d",
    "\u202egnp.exe\u2066 sks\u200b\u2028dog\x07",
    "{{ card_data }} {% raw %} ${x}",
    "- sks\n> dog\n\n1. cat\n=====",
    "'''+__import__('os').system('x')+'''",
    "\\",
]


def written(tmp_path: Path, **changes: Any) -> tuple[dict[str, Any], str]:
    """The YAML's content and the text of the card of a concept with these settings."""
    options = {
        name: changes.pop(name) for name in ("title", "subject", "base_card", "private") if name in changes
    }
    name = changes.pop("name", "me/bear")
    settings = {"instance_data_dir": "photos", "instance_prompt": "a photo of sks dog", "output_dir": "bear"}
    concept.write_settings(tmp_path, training_config(**(settings | changes)))
    card.write(tmp_path, name, **({"base_card": None} | options))
    content = (tmp_path / "README.md").read_text()
    loaded = ModelCard(content)
    return loaded.data.to_dict(), loaded.text


def test_a_full_concept(tmp_path: Path) -> None:
    data, text = written(
        tmp_path,
        pretrained_model_name_or_path="studio/base",
        class_prompt="a photo of a dog",
        with_prior_preservation=True,
        max_train_steps=400,
        learning_rate=2e-6,
        snr_gamma=5.0,
        subject="object",
        title="Rex, the dog",
        base_card="---\nlicense: creativeml-openrail-m\n---\n# Base",
        private=True,
    )
    assert data == {
        "base_model": "studio/base",
        "instance_prompt": "a photo of sks dog",
        "library_name": "diffusers",
        "license": "creativeml-openrail-m",
        "pipeline_tag": "text-to-image",
        "tags": ["text-to-image", "diffusers", "dreambooth", "object"],
        "widget": [{"text": "a photo of sks dog"}],
    }
    assert text.strip().startswith(
        "# Rex, the dog\n\nAn object taught to [studio/base](https://huggingface.co/studio/base)"
    )
    assert "The identifier is `sks`, the class is `dog`." in text
    for row in (
        "max_train_steps | 400",
        "learning_rate | 2e-06",
        "snr_gamma | 5.0",
        "num_class_images | 100",
    ):
        assert (f"| {row} |" in text) is (row != "num_class_images | 100")  # defaults are in dreambooth.json
    assert "class_prompt: a photo of a dog" in text
    assert re.search(r"versions: .*torch \d", text)
    assert "hf auth login" in text
    assert "That of the base: `creativeml-openrail-m`." in text
    assert "The training photos are no part of this repository." in text


def test_a_lora_on_a_base_of_this_machine(tmp_path: Path) -> None:
    data, text = written(
        tmp_path, method="lora", rank=8, pretrained_model_name_or_path="examples/toybox", subject="style",
        revision="v1'", base_card=Path("examples/toybox/README.md").read_text(),
    )  # fmt: skip
    assert data["license"] == "cc0-1.0"
    assert data["tags"] == ["text-to-image", "diffusers", "dreambooth", "lora", "style"]
    assert "base_model" not in data  # it has no name on the Hub
    assert "A style taught to `examples/toybox`" in text
    assert "a LoRA of rank 8" in text
    assert (
        "pipe = DiffusionPipeline.from_pretrained('examples/toybox', revision=\"v1'\", use_safetensors=True)\n"
        "pipe.load_lora_weights('me/bear', weight_name='pytorch_lora_weights.safetensors')\n"
    ) in text
    assert "hf auth login" not in text
    assert text.strip().startswith("# bear\n")


def test_the_pictures_and_photos_that_are_there_are_shown(tmp_path: Path) -> None:
    (tmp_path / "showcase").mkdir()
    (tmp_path / "instance_images").mkdir()
    for name in ("00000", "grid"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"showcase/{name}.png")
    data, text = written(tmp_path)
    assert data["widget"] == [{"text": "a photo of sks dog", "output": {"url": "showcase/00000.png"}}]
    assert "](showcase/grid.png)" in text
    assert "The training photos are in `instance_images`." in text


@pytest.mark.parametrize(
    ("base_card", "licence"),
    [
        (None, card.Licence()),
        ("# no YAML", card.Licence()),
        ("---\nlicense: [a, b]\n---\n", card.Licence()),
        ("---\nlicense: 'mit\n---\n", card.Licence()),
        ("---\n- license\n---\n", card.Licence()),
        ("---\nlicense: <b>\n---\n", card.Licence()),
        ("---\nlicense: openrail++\nlicense_name: x\n---\n", card.Licence("openrail++")),
        (
            "---\nlicense: other\nlicense_name: own\nlicense_link: LICENSE.md\n---\n",
            card.Licence("other", "own", "https://huggingface.co/studio/base/blob/main/LICENSE.md"),
        ),
        ("---\nlicense: other\nlicense_link: https://x.example/y\n---\n", card.Licence("other", None, "https://x.example/y")),
    ],
)  # fmt: skip
def test_the_licence_is_what_the_base_s_card_says(base_card: str | None, licence: card.Licence) -> None:
    assert card.licence_of(base_card, "studio/base") == licence


@pytest.mark.parametrize("text", NASTY)
def test_what_a_user_wrote_adds_neither_keys_nor_markup(tmp_path: Path, text: str) -> None:
    """Compared, element by element, with the card of a harmless text."""
    plain = "sks dog"
    shared: dict[str, Any] = {"method": "lora", "with_prior_preservation": True}
    cards = []
    for number, each in enumerate((plain, text)):
        folder = tmp_path / str(number)
        given = {
            "instance_prompt": each,
            "class_prompt": each,
            "title": each,
            "pretrained_model_name_or_path": f"/models/{each}",
            "base_card": "---\n" + json.dumps({"license": "other", "license_name": each}) + "\n---\n",
        }
        cards.append(written(folder, **(shared | given)))
    (data, _), (nasty_data, nasty_text) = cards
    assert nasty_data.keys() == data.keys()
    assert nasty_data["tags"] == data["tags"]
    assert "\n" not in nasty_data["instance_prompt"]
    assert _skeleton(nasty_text) == _skeleton(cards[0][1])


def _skeleton(text: str) -> list[tuple[str, str]]:
    """Every element of the rendered card with its links and pictures, and no text."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    flat = [token for each in tokens for token in (each, *(each.children or []))]
    kept = [(token.type, str(token.attrs)) for token in flat if token.type not in ("text", "softbreak")]
    assert "html_block" not in dict(kept)
    assert "html_inline" not in dict(kept)
    return kept


def test_code_of_the_snippet_holds_the_prompt_as_data(tmp_path: Path) -> None:
    for number, text in enumerate(NASTY):
        _, content = written(tmp_path / str(number), instance_prompt=text)
        block = next(token for token in MarkdownIt().parse(content) if token.info == "python")
        calls: list[str] = []
        source = (
            block.content.split("image = ")[1]
            .splitlines()[0]
            .replace("pipe(", "calls.append(")
            .removesuffix(".images[0]")
        )
        exec(source, {"calls": calls})
        assert calls[0].split() == [word for word in calls[0].split() if word]
        assert "\n" not in calls[0]


def test_it_says_what_the_checkpoints_were_found_to_be_worth(tmp_path: Path) -> None:
    judged = (Judged(100, 0.5, 0.36, 0.1, ()), Judged(200, 0.6, 0.1, None, (2,)))
    report = Report(Yardstick(0.6, 0.2, 0.4, 0.5), "a photo of sks dog", ("in the snow",), judged)
    assert "Did it learn" not in written(tmp_path)[1]
    (tmp_path / choice.FILE).write_text(report.text())
    _, text = written(tmp_path)
    assert f"## Did it learn?\n\n{report.verdict}" in text
    assert "| 100, kept | 75% | 90% | 20% |\n| 200 | 100% | 25% |  |" in text
    (tmp_path / choice.FILE).write_text("{}")  # of another version
    assert "Did it learn" not in written(tmp_path)[1]
