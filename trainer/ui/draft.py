"""What a visitor says of a concept before it is trained; it lies in the concept's folder beside the photos."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from trainer import concept, prompting
from trainer.config import MAX_PROMPT_CHARACTERS
from trainer.errors import ConfigError
from trainer.workspace import TITLE_FILE, read_title, title_of

DRAFT_FILE = "draft.json"
PHOTOS = "instance_images"
MAX_WORDS = 80  # characters
Kind = Literal["object", "style"]


@dataclass(frozen=True)
class Draft:
    """What is taught, and how it is called."""

    kind: Kind = "object"
    class_noun: str = ""
    identifier: str = "sks"

    @property
    def noun(self) -> str:
        """What stands after the identifier in a prompt: 'teddy bear', 'style'."""
        return prompting.STYLE if self.kind == "style" else self.class_noun

    @property
    def instance_prompt(self) -> str:
        """'a photo of a sks teddy bear', 'a picture in the sks style'."""
        if self.kind == "style":
            return f"a picture in the {self.identifier} style"
        return " ".join(part for part in ("a photo of a", self.identifier, self.class_noun) if part)

    @property
    def class_prompt(self) -> str | None:
        """'a photo of a teddy bear'; a style has no class."""
        return f"a photo of a {self.class_noun}" if self.kind == "object" and self.class_noun else None

    def subject(self) -> dict[str, str]:
        """The prompts for a TrainingConfig. Raises ConfigError while something is missing."""
        missing = [] if self.identifier else ["Identifier: a word that means nothing yet, such as sks"]
        if self.kind == "object" and not self.class_noun:
            missing.append("Class noun: what the subject is, such as teddy bear")
        if missing:
            raise ConfigError("Still missing on the Dataset tab:\n" + "\n".join(missing))
        prompts = {"instance_prompt": self.instance_prompt, "validation_prompt": self.instance_prompt}
        return prompts | ({"class_prompt": self.class_prompt} if self.class_prompt else {})


def read(directory: Path) -> Draft:
    """What was said so far; the defaults where nothing was."""
    file = directory / DRAFT_FILE
    said: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return Draft(**said)


def write(directory: Path, draft: Draft, title: str) -> None:
    """Keep it. Raises ConfigError for what is no kind, and for words that are too long."""
    if draft.kind not in ("object", "style"):
        raise ConfigError(f"kind: {draft.kind!r} is refused; it takes one of object, style")
    for name, words in (("class_noun", draft.class_noun), ("identifier", draft.identifier)):
        if len(words) > MAX_WORDS:
            raise ConfigError(f"{name}: at most {MAX_WORDS} characters")
    assert MAX_WORDS < MAX_PROMPT_CHARACTERS
    tidy = Draft(draft.kind, " ".join(draft.class_noun.split()), draft.identifier.strip())
    concept.replace_text(directory / DRAFT_FILE, json.dumps(asdict(tidy), ensure_ascii=False))
    if (named := title_of(title)) and named != read_title(directory):
        concept.replace_text(directory / TITLE_FILE, named)
