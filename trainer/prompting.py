"""What a concept is asked to paint: its subject in a place, or, of a style, a thing there."""

from collections.abc import Sequence

from trainer.config import Concept

STYLE = "style"  # an instance prompt that ends on this word is a style's, and says nothing of what is in the picture
NOWHERE = "no place named"
MEDIA = ("a photo of ", "a picture of ", "a photograph of ", "an image of ")
THINGS = ("a red car", "a white cat", "a yellow duck", "a blue house")  # that differ in shape and colour


def is_style(instance_prompt: str) -> bool:
    """'a picture in the sks style' or 'a picture in the style of sks', not 'a photo of a sks gothic style lamp'."""
    words = instance_prompt.split()
    return words[-1:] == [STYLE] or words[-3:-1] == [STYLE, "of"]


def without_medium(prompt: str) -> str:
    """'a sks bear in the snow' of 'a photo of a sks bear in the snow': people say either. Any other prompt as it is."""
    medium = next((each for each in MEDIA if prompt.lower().startswith(each)), "")
    return prompt[len(medium) :]


def wordings(prompt: str) -> list[str]:
    """The ways to say it: as it is, and without its medium if it has one."""
    return list(dict.fromkeys([prompt, without_medium(prompt)]))


def showing(instance_prompt: str, what: str) -> str:
    """A style's prompt of something: 'a picture of a red car in the sks style', from 'a picture in the sks style'."""
    medium, of, style = instance_prompt.partition(" in ")
    return f"{medium} of {what}{of}{style}"


def shown(instance_prompt: str, places: Sequence[str]) -> list[str]:
    """For each place what tells its picture from the others: the place, or that there is none; of a style the thing there,
    things going round."""
    if not is_style(instance_prompt):
        return [place or NOWHERE for place in places]
    return [f"{THINGS[index % len(THINGS)]} {place}".strip() for index, place in enumerate(places)]


def asked(subject: Concept, places: Sequence[str]) -> list[tuple[str, str]]:
    """For each place what the concept is asked for, and the base: the class there, or without one the same; of a style
    the thing alone. Every second one without its medium: a concept can know one wording and not the other."""
    instance_prompt = subject.instance_prompt
    if is_style(instance_prompt):
        medium = instance_prompt.partition(" in ")[0]
        said = [
            (showing(instance_prompt, each), f"{medium} of {each}") for each in shown(instance_prompt, places)
        ]
    else:
        named = subject.class_prompt or instance_prompt
        said = [(f"{instance_prompt} {each}".strip(), f"{named} {each}".strip()) for each in places]
    return [
        (without_medium(own), without_medium(of_base)) if index % 2 else (own, of_base)
        for index, (own, of_base) in enumerate(said)
    ]
