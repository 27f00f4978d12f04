"""The Share tab: a zip to keep, a push to the Hub that is checked by loading it back."""

import tempfile
import threading
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from trainer import bundle, concept, hub
from trainer.errors import BusyError, ConceptError, RepositoryExistsError, TrainerError
from trainer.ui import draft, painting
from trainer.ui.access import AccessError, hugging_face_token
from trainer.ui.background import Rate, Tell, telling
from trainer.ui.studio import NEW, Studio, endpoint, refused, words_for
from trainer.ui.theme import empty, heading, notice, progress
from trainer.workspace import read_title

NOT_YET = "Zip and Push come on when a concept is trained."
PHASES = {
    "turn": "Waiting for a turn",
    "paint": "Painting pictures for the card",
    "login": "Asking the Hub who this token is",
    "upload": "Uploading",
    "check": "Comparing what arrived",
    "wait": "Waiting for the Hub",
    "load": "Loading it back from the Hub",
    "zip": "Packing",
}


class Share:
    """Builds the tab's components and holds their handlers."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.stops: dict[str, threading.Event] = {}

    def build(self, current: gr.Dropdown) -> None:
        """Lay the tab out and wire it. `current` is the concept that is worked on."""
        self.current = current
        self.seen = gr.State("")
        with gr.Row(elem_classes="bench"):
            with gr.Column(scale=5, min_width=320, elem_classes="tools"):
                gr.HTML(
                    heading("Keep it", "Everything that other programs need, in one file."), padding=False
                )
                self.photos = gr.Checkbox(
                    False, label="My photos too", info="Without a tick they stay here.", elem_id="with-photos"
                )
                self.zip = gr.Button("Make the zip", size="lg", interactive=False, elem_id="zip")
                self.download = gr.DownloadButton(
                    "Download it", visible=False, variant="primary", elem_id="download"
                )
                gr.HTML(heading("Push it to the Hub", "Private, unless you say otherwise."), padding=False)
                self._push()
            with gr.Column(scale=8, min_width=320, elem_classes="stage"):
                self.stage = gr.HTML(self.nothing(), elem_id="share-stage", padding=False)
        self._wire()

    def _push(self) -> None:
        self.token = gr.Textbox(
            label="Token",
            type="password",
            info="With write access, from huggingface.co/settings/tokens. It is used once and kept nowhere.",
            elem_id="token",
            visible=self.studio.access.login != "huggingface",
            html_attributes=gr.InputHTMLAttributes(autocomplete="off"),
        )
        self.repository = gr.Textbox(
            label="Repository", placeholder="your-name/teddy-bear", elem_id="repository", max_length=96
        )
        self.private = gr.Checkbox(True, label="Private", elem_id="private")
        self.photos_too = gr.Checkbox(
            False, label="Push my photos too", info="Without a tick they stay here.", elem_id="push-photos"
        )
        self.pictures = gr.Checkbox(
            True,
            label="Paint pictures for the card first",
            info="The base beside the concept.",
            elem_id="card-pictures",
        )
        self.overwrite = gr.Checkbox(
            False, label="Replace what is in that repository", visible=False, elem_id="overwrite"
        )
        with gr.Row(elem_classes="go"):
            self.push = gr.Button(
                "Push", variant="primary", size="lg", interactive=False, elem_id="push", scale=3
            )
            self.cancel = gr.Button(
                "Cancel", size="lg", visible=False, elem_id="cancel-push", scale=1, min_width=96
            )
        self.why = gr.HTML(notice(NOT_YET, "info"), elem_id="share-why", padding=False)

    def _wire(self) -> None:
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        self.zip.click(
            self.make_zip, [self.current, self.photos], [self.stage, self.zip, self.download], **quiet
        )
        self.push.click(
            self.push_it,
            [
                self.current,
                self.repository,
                self.token,
                self.private,
                self.photos_too,
                self.pictures,
                self.overwrite,
            ],
            [self.stage, self.token, self.overwrite, self.push, self.cancel],
            trigger_mode="once",
            **quiet,
        )
        self.cancel.click(self.halt, None, self.cancel, queue=False, **quiet)
        # a yes to replacing one repository is none to another
        self.repository.input(
            lambda: gr.Checkbox(False, visible=False), None, self.overwrite, queue=False, **quiet
        )
        self._endpoint()

    def nothing(self) -> str:
        """Before there is anything to share."""
        return empty(
            "Nothing to share yet", "Train a concept on the Train tab; it can be kept and pushed from here."
        )

    def shown(self) -> list[gr.components.Component]:
        """What `show` fills in."""
        return [
            self.seen, self.stage, self.zip, self.push, self.why, self.download, self.repository, self.overwrite,
        ]  # fmt: skip

    def show(self, name: str, seen: str, request: gr.Request) -> list[Any]:
        """The tab when it is opened, or another concept chosen. What was made of the same weights stays as it is."""
        gone, unasked = gr.Button(visible=False), gr.Checkbox(False, visible=False)
        try:
            folder = self._finished(name, request)
        except TrainerError as error:
            off = gr.Button(interactive=False)
            return ["", self.nothing(), off, off, notice(str(error), "info"), gone, gr.skip(), unasked]
        version = f"{name} {bundle.version(folder)}"
        if version == seen:
            return [gr.skip()] * len(self.shown())
        on, title = gr.Button(interactive=True), read_title(folder)
        stage = empty(
            f"{title} is ready to go", "Keep it as a zip, or push it to the Hub, where others can load it."
        )
        hint = gr.Textbox(placeholder=f"your-name/{folder.name}")
        return [version, stage, on, on, "", gone, hint, unasked]

    def _finished(self, name: str, request: gr.Request) -> Path:
        """A finished concept of this visitor's. Raises TrainerError, saying what is to be done first."""
        if not name or name == NEW:
            raise ConceptError(NOT_YET)
        folder = self.studio.workspace.find(self.studio.access.visitor(request).home(), name)
        if self.studio.jobs.snapshot(folder).state in ("queued", "running", "stopping"):
            raise ConceptError("It is being trained; share it when that is done.")
        if not concept.has_weights(folder):
            raise ConceptError("It is not trained yet: do that on the Train tab.")
        return folder

    def make_zip(self, name: str, with_photos: bool, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Pack the concept, and offer it."""
        hidden = gr.DownloadButton(visible=False)
        try:
            folder = self._finished(name, request)
            with tempfile.TemporaryDirectory() as directory:
                target = Path(directory) / f"{folder.name}.zip"
                kind, title = draft.read(folder).kind, read_title(folder)

                def work(tell: Tell, stop: threading.Event) -> bool:
                    return bundle.export_zip(
                        folder, target, include_photos=with_photos, title=title, subject=kind,
                        on_progress=lambda *told: tell(told[-2:]), should_stop=stop.is_set,
                    )  # fmt: skip

                rate = Rate()
                for done, total in telling(work):
                    yield (
                        progress(PHASES["zip"], done, total, _words(done, total, rate)),
                        gr.Button(interactive=False),
                        hidden,
                    )
                size = target.stat().st_size / 1e6
                said = notice(f"{target.name}, {size:.1f} MB, is packed: press Download it.", "good")
                ready = gr.DownloadButton(f"Download {target.name}", value=str(target), visible=True)
                yield said, gr.Button(interactive=True), ready
        except Exception as error:  # whatever it was, the page must not be left waiting
            yield notice(words_for(error), "error"), gr.Button(interactive=True), hidden

    def push_it(
        self,
        name: str,
        repository: str,
        token: str,
        private: bool,
        with_photos: bool,
        pictures: bool,
        overwrite: bool,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        """Push, and show how far it is. The token's field is emptied at once."""
        session = request.session_hash or ""
        stop = self.stops[session] = threading.Event()
        working = (
            gr.Button("Pushing ...", interactive=False),
            gr.Button("Cancel", visible=True, interactive=True),
        )
        idle = gr.Button("Push", interactive=True), gr.Button(visible=False)
        keep = gr.skip()
        try:
            folder = self._finished(name, request)
            hub.check_repo_id(repository.strip())
            secret = self._token(token, request)
            yield progress(PHASES["login"], 0, 0), "", keep, *working
            going = telling(
                lambda tell, _: self._push_work(
                    folder, repository.strip(), secret, private, with_photos, pictures, overwrite, tell, stop
                )
            )
            rates: dict[str, Rate] = {}
            while True:
                try:
                    phase, done, total = next(going)
                except StopIteration as end:
                    yield pushed_html(*end.value), "", gr.Checkbox(False, visible=False), *idle
                    return
                rate = rates.setdefault(phase, Rate())
                yield (
                    progress(PHASES.get(phase, phase), done, total, _words(done, total, rate)),
                    "",
                    keep,
                    *working,
                )
        except RepositoryExistsError as error:
            said = notice(
                str(error), "warning", "To go on all the same, tick the box to replace it, and push again."
            )
            yield said, "", gr.Checkbox(visible=True), *idle
        except Exception as error:  # whatever it was, the page must not be left waiting
            yield notice(words_for(error), "error"), "", keep, *idle
        finally:
            stop.set()
            self.stops.pop(session, None)

    def _push_work(
        self,
        folder: Path,
        repository: str,
        token: str,
        private: bool,
        with_photos: bool,
        pictures: bool,
        overwrite: bool,
        tell: Tell,
        stop: threading.Event,
    ) -> tuple[hub.Pushed, str]:
        """What was pushed, and what is to be said about it."""
        note = ""
        if pictures and not bundle.has_current_pictures(folder):
            hub.check_login(repository, token, should_stop=stop.is_set)  # painting takes a minute
            try:
                self._paint_card(folder, tell, stop)
            except BusyError as error:
                note = f"Its card has no new pictures. {error} Push again for them then."
        done = hub.push(
            folder,
            repository,
            token,
            private=private,
            include_photos=with_photos,
            overwrite=overwrite,
            title=read_title(folder),
            subject=draft.read(folder).kind,
            on_progress=lambda phase, done, total: tell((phase, done, total)),
            should_stop=stop.is_set,
        )
        return done, note

    def _token(self, typed: str, request: gr.Request) -> str:
        """Raises TrainerError, with the way to one, where there is none."""
        token = typed or hugging_face_token(request)
        if not token and self.studio.access.login == "huggingface":
            raise AccessError("Sign in first, at the top of the page: it is pushed in your name.")
        return hub.checked_token(token or "")

    def _paint_card(self, folder: Path, tell: Tell, stop: threading.Event) -> None:
        with self.studio.turn(lambda ahead: tell(("turn", 0, 0)), stop.is_set):
            from trainer import showcase  # here, not above: it imports torch

            painting.free()
            showcase.paint(
                folder, on_step=lambda done, total: tell(("paint", done, total)), should_stop=stop.is_set
            )

    def halt(self, request: gr.Request) -> Any:
        """Cancel this page's push."""
        if stop := self.stops.get(request.session_hash or ""):
            stop.set()
        return gr.Button("Stopping ...", interactive=False)

    # The API

    def _endpoint(self) -> None:
        with gr.Row(visible=False):
            self.token_sent = gr.Textbox(label="token", type="password")
            inputs = [
                gr.Textbox(label="concept"),
                gr.Textbox(label="repo_id"),
                self.token_sent,
                gr.Checkbox(True, label="private"),
                gr.Checkbox(False, label="include_photos"),
                gr.Checkbox(False, label="overwrite"),
                gr.Checkbox(True, label="pictures"),
            ]
            answer = gr.JSON(label="pushed")
        endpoint(self.push_to_hub, inputs, [answer], "push_to_hub")

    def push_to_hub(
        self,
        concept: str,
        repo_id: str,
        token: str,
        private: bool,
        include_photos: bool,
        overwrite: bool,
        pictures: bool,
        request: gr.Request,
    ) -> dict[str, Any]:
        """Push a finished concept as the model repository owner/name. The token is used once and kept nowhere.

        `pictures` has the card's painted first, unless there are some of these very weights.
        """
        try:
            folder = self._finished(concept, request)
            hub.check_repo_id(repo_id.strip())
            secret = self._token(token, request)
            done, _ = self._push_work(
                folder, repo_id.strip(), secret, private, include_photos, pictures, overwrite, lambda told: None,
                threading.Event(),
            )  # fmt: skip
        except Exception as error:  # whatever it was, no client is told of this machine
            raise refused(error) from None
        finally:
            forget(self.token_sent, request)
        return {"repo_id": done.repo_id, "url": done.url, "commit": done.commit, "private": done.private}


def forget(component: gr.components.Component, request: gr.Request) -> None:
    """Take a component's value out of the session: gradio keeps what was sent for as long as that lasts."""
    blocks = LocalContext.blocks.get()
    if blocks is not None and request.session_hash:
        blocks.state_holder[request.session_hash]._update_value_in_config(component._id, "")


def pushed_html(done: hub.Pushed, note: str = "") -> str:
    """Where it is now."""
    kind = "private" if done.private else "public"
    return (
        f'<div class="empty"><h2>It is on the Hub</h2><p>Loaded back from there, and the same. A {kind} repository:</p>'
        f'<p><a class="big" href="{escape(done.url)}" target="_blank" rel="noopener">{escape(done.repo_id)}</a></p></div>'
        + (notice(note, "info") if note else "")
    )


def _words(done: int, total: int, rate: Rate) -> str:
    left = rate.left(done, total)
    size = f"{done / 1e6:.1f} of {total / 1e6:.1f} MB" if total > 100_000 else ""
    return ", ".join(part for part in (size, left) if part)
