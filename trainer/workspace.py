"""Where concepts lie: a home for each owner, a folder for each concept, under names of ours alone."""

import hashlib
import re
import time
import unicodedata
from pathlib import Path

from trainer.concept import lock, remove, replace_text
from trainer.errors import ConceptError

TITLE_FILE = "title.txt"
MAX_TITLE = 80  # characters
MAX_NAME = 40
DELETED = ".deleted-"


class Workspace:
    """`ROOT/<hash of the owner>/<name>/`. An owner is whatever tells two visitors apart; no part of a path is theirs."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).resolve()

    def home(self, owner: str) -> Path:
        """The owner's folder, whether it is there or not."""
        return self.root / hashlib.sha256(owner.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def concepts(self, owner: str) -> list[Path]:
        """The owner's concept folders, the newest first: those that `create` finished making."""
        files = self.home(owner).glob(f"[!.]*/{TITLE_FILE}")
        return sorted((file.parent for file in files), key=_made, reverse=True)

    def find(self, owner: str, name: str) -> Path:
        """One of the owner's concepts by its folder's name.

        Raises ConceptError, the same for what nobody has and what somebody else has.
        """
        for directory in self.concepts(owner):
            if directory.name == name:
                return directory
        raise ConceptError(f"There is no concept called {title_of(name) or 'that'}.")

    def create(self, owner: str, title: str) -> Path:
        """A new concept folder: named after the title, with a number where that is taken. Raises ConceptError for no title."""
        title = title_of(title)
        if not title:
            raise ConceptError("The concept needs a name; give it one.")
        name = _slug(title)
        number = 1
        while True:
            directory = self.home(owner) / (name if number == 1 else f"{name}-{number}")
            number += 1
            try:
                directory.mkdir(parents=True)
            except FileExistsError:
                continue
            replace_text(directory / TITLE_FILE, title)
            return directory

    def adopt(self, before: str, owner: str) -> None:
        """Give an owner what they made before they said who they are. Each folder moves by one rename."""
        for directory in reversed(self.concepts(before)):
            target, number = self.home(owner) / directory.name, 1
            target.parent.mkdir(parents=True, exist_ok=True)
            while target.exists():
                number += 1
                target = target.with_name(f"{directory.name}-{number}")
            with lock(directory):
                directory.rename(target)

    def sweep(self) -> None:
        """Finish the deletions that a kill cut short."""
        for leftover in self.root.glob(f"*/{DELETED}*"):
            remove(leftover)


def read_title(directory: Path) -> str:
    """What the owner called the concept; its folder's name where that was never said."""
    file = directory / TITLE_FILE
    return (file.read_text(encoding="utf-8") if file.is_file() else "") or directory.name


def put_aside(directory: Path) -> Path:
    """Take a concept out of sight by one rename, so that a kill leaves no half of it; where it is now, to be removed.

    Raises ConceptError while another process trains it.
    """
    with lock(directory):
        return directory.rename(directory.with_name(f"{DELETED}{time.time_ns()}"))


def title_of(text: str) -> str:
    """A stranger's words as a title: one line, without control and direction marks, cut to MAX_TITLE."""
    visible = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in text)
    return " ".join(visible.split())[:MAX_TITLE].strip()


def _slug(title: str) -> str:
    """Lower-case letters, digits and hyphens: never `class_images`, which lies beside the concepts."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MAX_NAME].strip("-") or "concept"


def _made(directory: Path) -> int:
    return (directory / TITLE_FILE).stat().st_mtime_ns
