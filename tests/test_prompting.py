"""What is asked of a concept and of its base, of an object and of a style."""

import pytest

from trainer import prompting
from trainer.config import Concept


@pytest.mark.parametrize(
    ("instance_prompt", "class_prompt", "asked", "plain"),
    [
        ("a photo of sks dog", "a photo of a dog", "a photo of sks dog in the snow", "a photo of a dog in the snow"),
        ("a photo of sks dog", None, "a photo of sks dog in the snow", "a photo of sks dog in the snow"),
        (
            "a picture in the sks style", None,
            "a picture of a red car in the snow in the sks style", "a picture of a red car in the snow",
        ),
        ("sks style", None, "sks style of a red car in the snow", "sks style of a red car in the snow"),
        (
            "a picture in the style of sks", None,
            "a picture of a red car in the snow in the style of sks", "a picture of a red car in the snow",
        ),
    ],
)  # fmt: skip
def test_what_concept_and_base_are_asked_for(
    instance_prompt: str, class_prompt: str | None, asked: str, plain: str
) -> None:
    subject = Concept(instance_data_dir=".", instance_prompt=instance_prompt, class_prompt=class_prompt)
    found = prompting.asked(subject, ("in the snow", "on the moon", ""))
    assert found[0] == (asked, plain)
    assert found[1][0].count("on the moon") == 1 and "red car" not in found[1][0]
    assert found[1] == tuple(prompting.without_medium(each) for each in found[1])
    assert found[2][0] == found[2][0].strip()


@pytest.mark.parametrize(
    ("prompt", "ways"),
    [
        ("a photo of a sks dog", ["a photo of a sks dog", "a sks dog"]),
        ("A picture of a red car in the sks style", ["A picture of a red car in the sks style", "a red car in the sks style"]),
        ("sks dog", ["sks dog"]),
        ("an oil painting of a sks dog", ["an oil painting of a sks dog"]),  # which says more than that it is a picture
    ],
)  # fmt: skip
def test_a_prompt_can_be_told_without_its_medium(prompt: str, ways: list[str]) -> None:
    assert prompting.wordings(prompt) == ways


def test_a_thing_of_some_style_is_a_thing() -> None:
    lamp = Concept(
        instance_data_dir=".",
        instance_prompt="a photo of a sks gothic style lamp",
        class_prompt="a photo of a gothic style lamp",
    )
    assert prompting.asked(lamp, ["in the snow"]) == [
        ("a photo of a sks gothic style lamp in the snow", "a photo of a gothic style lamp in the snow")
    ]


def test_pictures_of_a_style_are_told_apart_by_what_they_show() -> None:
    assert prompting.shown("a photo of sks dog", ("in the snow", "")) == ["in the snow", "no place named"]
    places = ("in the snow", "on the moon", "", "on grass", "in milk")
    assert prompting.shown("a picture in the sks style", places) == [
        "a red car in the snow", "a white cat on the moon", "a yellow duck", "a blue house on grass", "a red car in milk",
    ]  # fmt: skip
