"""What can be painted with: the examples that come with the studio, the base itself, and a visitor's own concepts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from trainer import concept, prompting
from trainer.config import GenerationConfig
from trainer.errors import ConceptError
from trainer.ui import draft

EXAMPLES = "example/"  # how their keys begin; a visitor's own have no slash
TOYBOX = "examples/toybox"
TOYBOX_GUIDANCE = 5.0  # that of the judge's 200 prompts
GUIDANCE: float = GenerationConfig.model_fields["guidance_scale"].default
STABLE_DIFFUSION = "stable-diffusion-v1-5/stable-diffusion-v1-5"
PLACES = (
    "on the beach",
    "in the snow",
    "on the moon",
    "on a wooden floor",
    "floating on top of water",
    "in front of the Eiffel Tower",
)
THINGS = (
    "red car on the beach",
    "blue teapot on a wooden floor",
    "green robot on the moon",
    "yellow duck floating on top of water",
    "brown teddy bear in the snow",
    "white cat in the jungle",
)
BASE_PROMPTS = tuple(f"a photo of a {thing}" for thing in THINGS)


@dataclass(frozen=True)
class Choice:
    """Something to paint with. `key` names it in links, in pictures and in the API."""

    key: str
    title: str
    folder: str  # or a name on the Hub
    base: str
    base_title: str
    instance_prompt: str = ""
    identifier: str = ""
    class_noun: str = ""
    photos: tuple[Path, ...] = ()
    guidance_scale: float = GUIDANCE  # what it paints well with

    @property
    def is_base(self) -> bool:
        return self.folder == self.base

    @property
    def word(self) -> str:
        """What a prompt calls the subject: 'sks teddy bear'."""
        return " ".join(part for part in (self.identifier, self.class_noun) if part)

    @property
    def prompts(self) -> tuple[str, ...]:
        """Prompts to start from."""
        if not self.instance_prompt:
            return BASE_PROMPTS
        if prompting.is_style(self.instance_prompt):
            return tuple(prompting.showing(self.instance_prompt, f"a {thing}") for thing in THINGS)
        return tuple(f"{self.instance_prompt} {place}" for place in PLACES)

    @property
    def prompt_labels(self) -> list[str]:
        """The prompts, short enough for a chip."""
        anything = not self.instance_prompt or prompting.is_style(self.instance_prompt)
        return list(THINGS if anything else PLACES)


def title_of_base(base: str) -> str:
    """'Toybox' for the folder examples/toybox, 'stable-diffusion-v1-5' for a name on the Hub."""
    name = Path(base).name
    return name.capitalize() if Path(base).is_dir() else name


def of_base(base: str) -> Choice:
    """The base itself, untrained."""
    key = Path(base).name if Path(base).is_dir() else base
    title = title_of_base(base)
    choice = Choice(key, f"{title}, the base itself", base, base, title)
    return replace(choice, guidance_scale=TOYBOX_GUIDANCE) if key == Path(TOYBOX).name else choice


def of_folder(folder: Path, key: str, title: str, photos: tuple[Path, ...]) -> Choice:
    """A finished concept. Raises ConceptError where its settings cannot be read."""
    settings = concept.read_settings(folder)
    base = str(settings["base"])
    config = settings["config"]
    subjects = [*(config.get("concepts_list") or []), config]
    return Choice(
        key,
        title,
        str(folder),
        base,
        title_of_base(base),
        str(subjects[0].get("instance_prompt") or ""),
        settings.get("identifier") or "",
        settings.get("class_noun") or "",
        photos,
        float(config.get("validation_guidance_scale") or GUIDANCE),
    )


def _named(choice: Choice, said: draft.Draft) -> Choice:
    """With the words of its draft, where it was trained without a class to tell them by, and they have not changed."""
    if choice.identifier or choice.instance_prompt != said.instance_prompt:
        return choice
    return replace(choice, identifier=said.identifier, class_noun=said.noun)


def examples() -> list[Choice]:
    """The trained concepts in this repository: examples/*/concept."""
    found = []
    for file in sorted(Path("examples").glob(f"*/concept/{concept.SETTINGS_FILE}")):
        home = file.parent.parent
        if concept.has_weights(file.parent):
            title = home.name.replace("-", " ").capitalize()
            photos = tuple(sorted((home / "instance_images").glob("*.jpg")))
            choice = of_folder(file.parent, EXAMPLES + home.name, title, photos)
            found.append(_named(choice, draft.read(home)))
    return found


@dataclass(frozen=True)
class Catalogue:
    """All choices of a visitor. `own` gives the folders and titles of a visitor's concepts."""

    base: str
    any_base: bool = False  # whether a name on the Hub is taken for a base
    own: Callable[[str], list[tuple[Path, str]]] = lambda owner: []

    def choices(self, owner: str | None) -> list[Choice]:
        """A visitor's own concepts first, then the examples, then the base."""
        mine = []
        for folder, title in self.own(owner) if owner else []:
            if concept.has_weights(folder):
                photos = tuple(sorted((folder / "instance_images").glob("*.png")))
                mine.append(_named(of_folder(folder, folder.name, title, photos), draft.read(folder)))
        return [*mine, *examples(), of_base(self.base)]

    def find(self, key: str, owner: str | None) -> Choice:
        """Raises ConceptError, in the same words for what is missing and for what is another's."""
        for choice in self.choices(owner):
            if choice.key == key:
                return choice
        if self.any_base and key.count("/") == 1 and not key.startswith((EXAMPLES, ".", "/")):
            return of_base(key)
        raise ConceptError(f"There is no concept called {key[:80]}.")
