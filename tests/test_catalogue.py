"""What a concept is called in a prompt, also where its settings do not say it."""

from pathlib import Path

import pytest

from trainer import concept
from trainer.config import training_config
from trainer.ui import draft
from trainer.ui.catalogue import Catalogue
from trainer.ui.draft import Draft


@pytest.mark.parametrize(
    ("said", "word", "prompt"),
    [
        (Draft("style", "dog", "zwx"), "zwx style", "a picture of a red car on the beach in the zwx style"),
        (Draft("object", "dog", "zwx"), "zwx dog", "a photo of a zwx dog on the beach"),
    ],
)
def test_without_a_class_the_word_is_the_drafts(lora: Path, said: Draft, word: str, prompt: str) -> None:
    draft.write(lora, said, "Mine")
    config = training_config(
        method="lora",
        pretrained_model_name_or_path="base",
        instance_data_dir=str(lora),
        instance_prompt=said.instance_prompt,
        output_dir=str(lora),
    )
    concept.write_settings(lora, config)
    choice = Catalogue("base", own=lambda owner: [(lora, "Mine")]).find("lora", "me")
    assert (choice.word, choice.instance_prompt) == (word, said.instance_prompt)
    assert choice.prompts[0] == prompt and prompt.find(choice.prompt_labels[0]) > 0
    draft.write(lora, Draft(said.kind, said.class_noun, "other"), "Mine")
    assert Catalogue("base", own=lambda owner: [(lora, "Mine")]).find("lora", "me").word == ""
