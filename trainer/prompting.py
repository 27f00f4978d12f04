"""What a concept is asked to paint: its subject in a place, or, of a style, a thing there."""

from collections.abc import Sequence

from trainer.config import Concept

STYLE = "style"  # an instance prompt that ends on this word is a style's, and says nothing of what is in the picture
THINGS = ("a red car", "a white cat", "a yellow duck", "a blue house")  # that differ in shape and colour


def is_style(instance_prompt: str) -> bool:
    """'a picture in the sks style' or 'a picture in the style of sks', not 'a photo of a sks gothic style lamp'."""
    words = instance_prompt.split()
    return words[-1:] == [STYLE] or words[-3:-1] == [STYLE, "of"]


def showing(instance_prompt: str, what: str) -> str:
    """A style's prompt of something: 'a picture of a red car in the sks style', from 'a picture in the sks style'."""
    medium, of, style = instance_prompt.partition(" in ")
    return f"{medium} of {what}{of}{style}"


def shown(instance_prompt: str, places: Sequence[str]) -> list[str]:
    """For each place what tells its picture from the others: the place; of a style the thing there, things going round."""
    if not is_style(instance_prompt):
        return list(places)
    return [f"{THINGS[index % len(THINGS)]} {place}".strip() for index, place in enumerate(places)]


def asked(subject: Concept, places: Sequence[str]) -> list[tuple[str, str]]:
    """For each place what the concept is asked for, and the base: the class there, or without one the same; of a style
    the thing alone."""
    instance_prompt = subject.instance_prompt
    what = shown(instance_prompt, places)
    if is_style(instance_prompt):
        medium = instance_prompt.partition(" in ")[0]
        return [(showing(instance_prompt, each), f"{medium} of {each}") for each in what]
    named = subject.class_prompt or instance_prompt
    return [(f"{instance_prompt} {each}".strip(), f"{named} {each}".strip()) for each in what]
