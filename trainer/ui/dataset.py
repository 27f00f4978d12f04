"""The Dataset tab: photos in, one card each with the crop that training sees, a verdict, and what mends it."""

import json
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from trainer import archives, photos, remedies
from trainer.errors import ConfigError, PhotoError, TrainerError
from trainer.gate import COUNTS
from trainer.ui import draft, painting
from trainer.ui.access import on_zero_gpu
from trainer.ui.background import Rate, Tell, telling
from trainer.ui.cards import PRESS, cards_html, gate_html, word_html
from trainer.ui.controls import file_of_ones_own
from trainer.ui.draft import PHOTOS, Draft
from trainer.ui.studio import GPU, MAX_WAITING, NEW, Studio, endpoint, refused, words_for
from trainer.ui.theme import empty, heading, notice, picture, progress
from trainer.ui.turns import waiting
from trainer.workspace import read_title

EXAMPLE = Path("examples/teddy-bear/instance_images")
EXAMPLE_DRAFT = Draft("object", "teddy bear", "sks")
EXAMPLE_TITLE = "My teddy bear"
KINDS = [("An object: one toy, pet, mug", "object"), ("A style: how pictures look", "style")]
FIXED = (
    "Its training stopped at step {} and can go on, but only with these very photos: once you add, drop or crop one,"
    " Go on is refused, and Train again begins from the start."
)


class Dataset:
    """Builds the tab's components and holds their handlers."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def build(self, current: gr.Dropdown) -> None:
        """Lay the tab out and wire it. `current` is the concept that is worked on."""
        self.current = current
        with gr.Row(elem_classes="bench"):
            with gr.Column(scale=5, min_width=320, elem_classes="tools"):
                gr.HTML(
                    heading("Bring photos", "A handful of good ones teach more than many poor ones."),
                    padding=False,
                )
                self.kind = gr.Radio(KINDS, value="object", label="What is it to learn?", elem_id="kind")
                self.files = file_of_ones_own(
                    label="Drop photos, or a zip of them",
                    file_count="multiple",
                    file_types=["image", ".heic", ".heif", ".zip"],
                    height=150,
                    elem_id="photos",
                )
                self.example = gr.Button(
                    "Load the example: eight photos of a bear", elem_id="example", size="sm"
                )
                with gr.Column(elem_classes="more"):
                    self._words()
            with gr.Column(scale=8, min_width=320, elem_classes="stage"):
                self.gate = gr.HTML(self.nothing("object"), elem_id="gate", padding=False, js_on_load=PRESS)
                self.cards = gr.HTML("", elem_id="cards", padding=False, js_on_load=PRESS)
                self.read_text = gr.Button(
                    "Look for text and watermarks", visible=False, elem_id="read-text", size="sm"
                )
        self.brought = gr.State(False)  # whether the last photos were taken in, not refused
        self.kept = gr.State(None)  # the concept and its words, as they were last kept
        self._wire()

    def _words(self) -> None:
        self.title = gr.Textbox(label="Name", placeholder="My teddy bear", max_length=80, elem_id="title")
        self.noun = gr.Textbox(
            label="Class noun",
            info="What it is, in plain words: teddy bear, dog, mug.",
            placeholder="teddy bear",
            max_length=draft.MAX_WORDS,
            elem_id="noun",
        )
        with gr.Row(elem_classes="with-button"):
            self.identifier = gr.Textbox(
                "sks",
                label="Identifier",
                info="A word that means nothing yet, and will mean this one.",
                max_length=draft.MAX_WORDS,
                elem_id="identifier",
                scale=3,
            )
            self.check = gr.Button("Check it", elem_id="check-identifier", size="sm", scale=1, min_width=90)
        self.word = gr.HTML("", elem_id="word", padding=False, js_on_load=PRESS)

    def _wire(self) -> None:
        said = [self.kind, self.title, self.noun, self.identifier]
        shown = [self.gate, self.cards, self.read_text]
        brought = [self.current, *said, *shown, self.files, self.brought]
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        self.looking = []  # what goes on drawing a concept's photos for a while
        for trigger, handler, first in (
            (self.files.upload, self.bring, [self.files]),
            (self.example.click, self.bring_example, []),
        ):
            taken_in = trigger(handler, [*first, self.current, *said], brought, **quiet)
            self.looking.append(
                taken_in.then(self.look_at_brought, [self.current, self.brought], shown, **quiet)
            )
        self.looking.append(self.read_text.click(self.look_for_text, self.current, shown, **quiet))
        for html in (self.cards, self.gate):
            # "multiple": by default a press is lost while the one before it is being answered.
            html.submit(self.mend, self.current, shown, queue=False, trigger_mode="multiple", **quiet)
        self.kind.change(
            lambda kind: gr.Textbox(visible=kind != "style"), self.kind, self.noun, queue=False, **quiet
        )
        self.check.click(
            self.check_word,
            [self.kind, self.identifier, self.noun],
            self.word,
            concurrency_id=GPU,
            concurrency_limit=MAX_WAITING,
            **quiet,
        )
        taken = self.word.submit(self.take_word, None, self.identifier, queue=False, **quiet)
        triggers: list[Any] = [self.kind.input, taken.then]
        triggers += [field.blur for field in (self.title, self.noun, self.identifier)]
        for trigger in triggers:
            # "always_last": by default what is typed while the words before it are being kept is lost.
            trigger(
                self.say,
                [self.current, *said],
                [self.kept, self.current, *shown],
                queue=False,
                trigger_mode="always_last",
                **quiet,
            )
        self._endpoint()

    def shown(self) -> list[gr.components.Component]:
        """What `show` fills in."""
        return [self.kind, self.title, self.noun, self.identifier, self.gate, self.cards, self.read_text]

    # Handlers

    def nothing(self, kind: str) -> str:
        """Before there are photos."""
        fewest, most, plenty = COUNTS["style" if kind == "style" else "object"]
        what = "pictures in the style, of different things" if kind == "style" else "photos of one thing"
        sides = "" if kind == "style" else ", from different sides and in different places"
        return empty(
            f"Bring {fewest} to {most} {what}",
            f"Drop them on the left{sides}; {plenty} are plenty. Each is checked here, and cut as training will see it."
            " Or load the example.",
        )

    def show(self, name: str, request: gr.Request) -> list[Any]:
        """Everything the tab knows of a concept."""
        found = self._find(name, request)
        if found is None:
            return ["object", "", "", "sks", self.nothing("object"), "", gr.Button(visible=False)]
        said = draft.read(found)
        return [
            said.kind,
            read_title(found),
            said.class_noun,
            said.identifier,
            *self._review(found, said.kind),
        ]

    def open(self, name: str, request: gr.Request) -> list[Any]:
        """A fresh page: its concept, or where there is none, the fields as they are, for they may be filled in by now."""
        return self.show(name, request) if self._find(name, request) else [gr.skip()] * len(self.shown())

    def _find(self, name: str, request: gr.Request) -> Path | None:
        owner = self.studio.access.visitor(request).owner
        if not owner or not name or name == NEW:
            return None
        try:
            return self.studio.workspace.find(owner, name)
        except TrainerError:
            return None

    def bring(self, request: gr.Request, files: list[str], name: str, *said: str) -> Iterator[list[Any]]:
        """Photos of an upload into the concept, which is made where there is none yet."""
        uploads = [photos.Upload(Path(file), Path(file).name) for file in files]
        yield from self._bring(request, uploads, name, *said)

    def bring_example(self, request: gr.Request, name: str, *said: str) -> Iterator[list[Any]]:
        """The example's photos, in a concept of the visitor's own."""
        uploads = [photos.Upload(file, file.name) for file in sorted(EXAMPLE.glob("*.jpg"))]
        chosen = (EXAMPLE_DRAFT.kind, EXAMPLE_TITLE, EXAMPLE_DRAFT.class_noun, EXAMPLE_DRAFT.identifier)
        yield from self._bring(request, uploads, NEW, *chosen)

    def _bring(
        self, request: gr.Request, uploads: Sequence[photos.Upload], name: str, *said: str
    ) -> Iterator[list[Any]]:
        kind, title, noun, word = said
        same, after = [gr.skip()] * 5, [gr.skip(), gr.skip()]
        try:
            owner = self.studio.access.visitor(request).home()
            with self._concept(owner, name, title or noun) as folder:
                draft.write(folder, Draft(kind, noun, word), title)  # type: ignore[arg-type]
                reading = telling(lambda tell, stop: self._import(uploads, folder, tell))
                for bar in bars("Reading the photos", reading):
                    yield [*same, bar, gr.skip(), gr.skip(), *after]
        except Exception as error:  # whatever it was, the page must not be left waiting
            there = self._find(name, request)
            gate = self._review(there, kind)[0] if there else ""
            yield [*same, notice(words_for(error), "error") + gate, gr.skip(), gr.skip(), None, False]
            return
        said_now = [kind, read_title(folder), noun, word]
        current = self.studio.working_on(owner, folder.name)
        yield [current, *said_now, *self._review(folder, kind), None, True]

    @contextmanager
    def _concept(self, owner: str, name: str, title: str) -> Iterator[Path]:
        """The owner's concept of that name, or a new one, which goes again where nothing could be brought into it."""
        if name and name != NEW:
            yield self.studio.workspace.find(owner, name)
            return
        folder = self.studio.workspace.create(owner, title or "My concept")
        try:
            yield folder
        except BaseException:
            self.studio.jobs.delete(folder)
            raise

    def _import(self, uploads: Sequence[photos.Upload], folder: Path, tell: Tell) -> None:
        there = len(photos.list_photos(folder / PHOTOS)) if (folder / PHOTOS).is_dir() else 0
        with tempfile.TemporaryDirectory() as unpacked:
            brought = archives.collect(uploads, unpacked, already=there)
            photos.import_photos(
                brought.photos, folder / PHOTOS, on_photo=lambda done, total: tell((done, total))
            )
            if brought.refused:
                with photos.editing(folder / PHOTOS) as record:
                    record.seen.extend(brought.refused)

    def look_at_brought(self, name: str, brought: bool, request: gr.Request) -> Iterator[list[Any]]:
        """The slow check of what was just taken in; after a refusal there is nothing new, and it stays to be read."""
        if brought:
            yield from self.look_for_text(name, request)
        else:
            yield [gr.skip()] * 3

    def look_for_text(self, name: str, request: gr.Request) -> Iterator[list[Any]]:
        """The slow check: words and watermarks, photo by photo."""
        folder = self._find(name, request)
        if folder is None or not (folder / PHOTOS).is_dir():
            yield [gr.skip()] * 3
            return
        kind = draft.read(folder).kind
        cards = self._review(folder, kind)[1]

        def work(tell: Tell, stop: threading.Event) -> None:
            photos.check_words(folder / PHOTOS, lambda done, total: tell((done, total)), stop.is_set)

        try:
            for bar in bars("Looking for text and watermarks", telling(work)):
                yield [self._review(folder, kind)[0] + bar, gr.skip(), gr.Button(visible=False)]
            yield [*self._review(folder, kind)]
        except Exception as error:  # whatever it was, the page must not be left waiting
            yield [
                self._review(folder, kind)[0] + notice(words_for(error), "error"),
                cards,
                gr.Button(visible=True),
            ]

    def say(self, request: gr.Request, name: str, *said: str) -> list[Any]:
        """Keep what was typed; a new name shows where concepts are chosen."""
        kind, title, noun, word = said
        folder = self._find(name, request)
        if folder is None:
            return [gr.skip(), gr.skip(), self.nothing(kind), gr.skip(), gr.skip()]
        before, called = draft.read(folder).kind, read_title(folder)
        try:
            draft.write(folder, Draft(kind, noun, word), title)  # type: ignore[arg-type]
        except Exception as error:
            return [gr.skip(), gr.skip(), notice(words_for(error), "error"), gr.skip(), gr.skip()]
        owner = self.studio.access.visitor(request).owner
        renamed = self.studio.working_on(owner, name) if read_title(folder) != called else gr.skip()
        shown = [gr.skip()] * 3 if before == kind else self._review(folder, kind)
        return [[name, *said], renamed, *shown]

    def mend(self, request: gr.Request, name: str, event: gr.EventData) -> list[Any]:
        """A button of a card or of the gate."""
        folder = self._find(name, request)
        if folder is None:
            return [notice("Bring photos first."), "", gr.skip()]
        pressed = event._data or {}
        what, which = str(pressed.get("what")), str(pressed.get("which"))
        if pressed.get("of") != name:  # another concept was chosen since it was drawn
            return self._review(folder, draft.read(folder).kind)
        try:
            self._do(folder / PHOTOS, what, which)
        except Exception as error:
            gate, cards, button = self._review(folder, draft.read(folder).kind)
            return [notice(words_for(error), "error") + gate, cards, button]
        return self._review(folder, draft.read(folder).kind)

    def _do(self, directory: Path, what: str, which: str) -> None:
        match what:
            case "drop" | "center_crop" | "smart_crop" | "flatten" | "restore":
                getattr(remedies, what)(directory, which)
            case "dismiss":
                photos.dismiss(directory, which)
            case "undismiss":
                photos.undismiss(directory, which)
            case "clear":
                photos.clear_refused(directory)
            case _:
                raise PhotoError("There is no such button: load the page again.")

    def _review(self, folder: Path, kind: str) -> list[Any]:
        """(gate, cards, button for the slow check) as the photos lie now."""
        if not (folder / PHOTOS).is_dir():
            return [self.nothing(kind), "", gr.Button(visible=False)]
        try:
            resolution = self.studio.resolution()
            report = photos.review(folder / PHOTOS, resolution, "style" if kind == "style" else "object")
        except TrainerError as error:
            return [notice(str(error), "error"), "", gr.Button(visible=False)]
        if not report.photos and not report.refused_uploads and not report.dropped:
            return [self.nothing(kind), "", gr.Button(visible=False)]
        words = "text and watermarks" in report.unchecked and bool(report.photos)
        side = resolution or 512
        cards = cards_html(report, folder / PHOTOS, side, center_crop=kind != "style")
        now = self.studio.jobs.snapshot(folder)
        fixed = notice(FIXED.format(now.checkpoint), "info") if now.can_go_on else ""
        gate = fixed + gate_html(report)
        return [
            *(f'<div data-of="{escape(folder.name)}">{each}</div>' for each in (gate, cards)),
            gr.Button(visible=words),
        ]

    # The identifier

    def check_word(self, kind: str, word: str, noun: str) -> Iterator[str]:
        """How the base reads the word, then what it paints for it."""
        noun = Draft("style" if kind == "style" else "object", noun).noun
        if taken := self.studio.busy():
            yield notice(taken)
            return
        try:
            with self.studio.turns.taken() as ahead:
                while before := ahead():
                    yield waiting(before)
                with self.studio.device():
                    yield progress("Asking the base's tokenizer", 0, 0)
                    yield from self._told_of_word(word, noun)
        except Exception as error:  # whatever it was, the page must not be left waiting
            yield notice(words_for(error), "error")

    def _told_of_word(self, word: str, noun: str) -> Iterator[str]:
        said = ""
        for told in telling(lambda tell, stop: self._look_at_word(word, noun, tell, stop)):
            if isinstance(told, str):
                said = told
                yield said
            else:
                done, total = told
                yield said + progress("Having the base paint it", done, total, f"step {done} of {total}")

    def _look_at_word(self, word: str, noun: str, tell: Tell, stop: threading.Event) -> None:
        from trainer import (
            identifier,
        )  # here, not above: it reads a vocabulary and, for the pictures, imports torch

        base = self.studio.catalogue.base
        tokenizer = identifier.load_tokenizer(base)
        report = identifier.check_identifier(word, tokenizer, noun)
        said = word_html(report, identifier.suggestions(tokenizer) if report.verdict != "ok" else [])
        tell(said)
        if report.verdict == "refused":
            return
        if on_zero_gpu():
            tell(
                said
                + notice(
                    "What the base paints for it is not shown here: the GPU is lent for pictures alone.",
                    "info",
                )
            )
            return
        if not noun.strip():
            tell(
                said + notice("Name the class noun too, and the base's own pictures are shown here.", "info")
            )
            return
        seen = identifier.painted(
            painting.loaded(base),
            word,
            noun,
            on_step=lambda done, total: tell((done, total)),
            should_stop=stop.is_set,
        )
        rows = (
            (f"“{word}” alone", seen.bare),
            (f"a photo of {word} {noun}", seen.named),
            (f"a photo of {noun}", seen.plain),
        )
        told = "".join(
            f'<div class="row"><p>{escape(title)}</p>{"".join(picture(painting.jpeg(each), title) for each in images)}</div>'
            for title, images in rows
        )
        tell(f'{said}<div class="painted">{told}<p>{escape(seen.sentence)}</p></div>')

    def take_word(self, event: gr.EventData) -> Any:
        """A suggestion was pressed."""
        pressed = event._data or {}
        return str(pressed.get("which"))[: draft.MAX_WORDS] if pressed.get("what") == "take" else gr.skip()

    # The API

    def _endpoint(self) -> None:
        with gr.Row(visible=False):
            inputs = [
                file_of_ones_own(label="files", file_count="multiple", type="filepath"),
                gr.Radio(["object", "style"], value="object", label="kind"),
                gr.Textbox("", label="title"),
                gr.Textbox("", label="class_noun"),
                gr.Textbox("sks", label="identifier"),
                gr.Textbox("", label="concept"),
                gr.Checkbox(False, label="words"),
            ]
            output = gr.JSON(label="report")
        endpoint(self.check_photos, inputs, [output], "check_photos")

    def check_photos(
        self,
        files: list[str],
        kind: str,
        title: str,
        class_noun: str,
        identifier: str,
        concept: str,
        words: bool,
        request: gr.Request,
    ) -> dict[str, Any]:
        """Bring photos (or a zip) into a concept and get the verdicts. Without `concept`, a new one is made; one that
        is there keeps its own kind and words, and needs no further photos to be looked at again.

        The answer's "concept" names it for /start_training. `words` also looks for text, 2 to 3 seconds a photo.
        """
        try:
            owner = self.studio.access.visitor(request).home()
            with self._concept(owner, concept, title or class_noun) as folder:
                uploads = [photos.Upload(Path(file), Path(file).name) for file in files or []]
                if uploads or not concept:
                    self._import(uploads, folder, lambda told: None)
                if not concept:
                    draft.write(folder, Draft(kind, class_noun, identifier), title)  # type: ignore[arg-type]
                kind = draft.read(folder).kind
            if words:
                photos.check_words(folder / PHOTOS)
            report = photos.review(
                folder / PHOTOS, self.studio.resolution(), "style" if kind == "style" else "object"
            )
        except Exception as error:  # whatever it was, no client is told of this machine
            raise refused(error) from None
        told: dict[str, Any] = json.loads(json.dumps(report.as_dict(), default=str))
        return {"concept": folder.name, **told}


def bars(label: str, told: Iterable[tuple[int, int]]) -> Iterator[str]:
    """A bar for each (done, total), with the time left once a second photo has shown the pace."""
    rate = Rate()
    for done, total in told:
        left = rate.left(done, total)
        yield progress(label, done, total, f"{done} of {total} photos" + (f", {left}" if left else ""))


def brought(folder: Path) -> int:
    """How many photos there are. Raises ConfigError for none."""
    count = len(photos.list_photos(folder / PHOTOS)) if (folder / PHOTOS).is_dir() else 0
    if not count:
        raise ConfigError("There are no photos yet: bring 5 to 20 on the Dataset tab.")
    return count
