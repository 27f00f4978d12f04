"""The Train tab: settings, what they will cost, and a job that goes on without the page."""

import re
import threading
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from trainer import concept, photos, presets
from trainer.config import TrainingConfig, advice, training_config
from trainer.errors import ConfigError, TrainerError
from trainer.fields import extra
from trainer.snapshots import Snapshot
from trainer.ui import draft, painting
from trainer.ui.background import Rate, Tell, telling
from trainer.ui.cards import PRESS
from trainer.ui.controls import control
from trainer.ui.dataset import brought
from trainer.ui.draft import PHOTOS
from trainer.ui.report import report_html
from trainer.ui.status import (
    class_images_html,
    log_html,
    previews_html,
    ready_html,
    status_html,
    subject_html,
)
from trainer.ui.studio import NEW, Studio, endpoint, refused, words_for
from trainer.ui.theme import empty, heading, notice, progress
from trainer.ui.turns import waiting
from trainer.ui.watchers import SHORTEST, Watchers
from trainer.workspace import read_title

MAIN = {"max_train_steps": "Steps", "learning_rate": "Learning rate", "num_class_images": "Class images"}
NO_PHOTOS = "Start comes on when there are photos: bring some on the Dataset tab."
MEASURING = "Training a few steps to see"
NOTHING_TO_TRAIN = "There is nothing to train yet: bring photos on the Dataset tab first."
# What the app decides: places on its own disk, and the prompts, which the Dataset tab asks for.
OWN = {
    "instance_data_dir", "instance_prompt", "class_data_dir", "class_prompt", "concepts_list", "output_dir",
    "logging_dir", "report_to", "resume_from_checkpoint", "set_grads_to_none",
}  # fmt: skip
FROM_THE_HUB = (
    "pretrained_model_name_or_path",
    "pretrained_vae_name_or_path",
    "tokenizer_name",
    "evaluation_encoder",
    "subject_encoder",
)
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
ENDED = ("stopped", "finished", "failed", "interrupted")
# A finished concept is replaced by what the new training has learnt when it ends, or is stopped.
AGAIN = """(_, ...given) => [document.querySelector('#start').innerText.trim() !== 'Train again'
  || confirm('Train again? What it has learnt is replaced when the new training ends or is stopped.'), ...given]"""


class Train:
    """Builds the tab's components and holds their handlers."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.watchers = Watchers()
        self.weighing: dict[str, threading.Event] = {}  # session -> ends its measurement
        self.machine: presets.Machine = presets.gpu() if studio.catalogue.any_base else "cpu"

    def build(self, current: gr.Dropdown) -> None:
        """Lay the tab out and wire it. `current` is the concept that is worked on."""
        self.current = current
        self.seen = gr.State(None)
        self.kind = gr.State("object")  # of the concept
        self.sure = gr.Checkbox(True, visible=False)
        self.filled = gr.State("object")  # what the settings are filled in for
        self.timer = gr.Timer(SHORTEST, active=False)
        with gr.Row(elem_classes="bench"):
            with gr.Column(scale=5, min_width=320, elem_classes="tools"):
                gr.HTML(heading("Train it", "It goes on when you close this page."), padding=False)
                self.subject = gr.HTML("", elem_id="subject", padding=False)
                self._presets()
                with gr.Row(elem_classes="go"):
                    self.start = gr.Button(
                        "Start training",
                        variant="primary",
                        size="lg",
                        interactive=False,
                        elem_id="start",
                        scale=3,
                    )
                    self.stop = gr.Button(
                        "Stop", size="lg", visible=False, elem_id="stop", scale=1, min_width=96
                    )
                self.why = gr.HTML(notice(NO_PHOTOS, "info"), elem_id="why", padding=False)
                self.answer = gr.HTML("", elem_id="answer", padding=False)  # to what was pressed
                with gr.Column(elem_classes="more"):
                    self._settings()
            with gr.Column(scale=8, min_width=320, elem_classes="stage"):
                self.status = gr.HTML(self.nothing(), elem_id="status", padding=False)
                with gr.Row(elem_classes="next"):
                    self.resume = gr.Button("Go on", visible=False, elem_id="resume", variant="primary")
                    self.use = gr.Button("Paint with it", visible=False, elem_id="use", variant="primary")
                    self.delete = gr.Button("Delete this concept", visible=False, elem_id="delete")
                self.report = gr.HTML("", elem_id="report", padding=False, js_on_load=PRESS)
                self.previews = gr.HTML("", elem_id="previews", padding=False)
                self.log = gr.HTML("", elem_id="log", padding=False)
                with gr.Accordion("Class images", open=False) as self.classes:
                    self.class_images = gr.HTML("", elem_id="class-images", padding=False, js_on_load=PRESS)
        self._wire()

    def _presets(self) -> None:
        found = presets.presets("object", self.machine)
        self.preset = gr.Radio(
            [each.title for each in found],
            value=found[0].title,
            label="Preset",
            visible=len(found) > 1,
            elem_id="preset",
        )

    def _settings(self) -> None:
        first = self._preset("object", "")
        self.settings: dict[str, gr.components.Component] = {}

        def add(name: str, **changes: Any) -> None:
            value = {"value": first[name]} if name in first else {}
            self.settings[name] = control(TrainingConfig, name, elem_id=f"train-{name}", **value, **changes)

        for name, title in MAIN.items():
            add(name, label=title)
        self.cost = gr.HTML("", elem_id="cost", padding=False)
        with gr.Row():
            self.measure = gr.Button("How long will it take?", size="sm", elem_id="measure", scale=3)
            self.enough = gr.Button(
                "Cancel", size="sm", visible=False, elem_id="cancel-measure", scale=1, min_width=96
            )
        with gr.Accordion("Advanced", open=False, elem_id="train-advanced"):
            for group, names in _groups().items():
                with gr.Accordion(group.capitalize(), open=False):
                    for name in names:
                        add(name)

    def _wire(self) -> None:
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": False}
        settings = list(self.settings.values())
        look, seen = [self.current, self.seen], self.looked()
        self.start.click(
            self.begin,
            [self.sure, self.current, self.preset, *settings],
            [self.answer, *seen],
            js=AGAIN,
            **quiet,
        )
        self.stop.click(self.halt, self.current, [self.answer, *seen], **quiet)
        self.resume.click(self.go_on, self.current, [self.answer, *seen], **quiet)
        self.timer.tick(self.look, look, seen, **quiet)
        self.preset.input(self.use_preset, [self.current, self.preset], settings, **quiet)
        self.measure.click(
            self.weigh,
            [self.current, self.preset, *settings],
            [self.cost, self.measure, self.enough],
            show_progress="hidden",
            api_visibility="private",
        )
        self.enough.click(self.stop_weighing, None, self.enough, **quiet)
        stale = [self.preset.input, self.current.change, *(each.input for each in settings)]  # type: ignore[attr-defined]
        gr.on(stale, None, None, self.cost, js="() => ''", api_visibility="private")
        # in the browser: the server's answer may come after it was opened again
        close = "() => ({open: false, __type__: 'update'})"
        self.current.input(None, None, self.classes, js=close, api_visibility="private")
        self.classes.expand(self.show_class_images, self.current, self.class_images, **quiet)
        self.report.submit(
            self.choose, self.current, [self.answer, *seen], show_progress="hidden", api_visibility="private"
        )
        self.class_images.submit(self.cull, self.current, self.class_images, trigger_mode="multiple", **quiet)
        self._endpoints()

    def looked(self) -> list[gr.components.Component]:
        """What `look` fills in."""
        return [
            self.seen, self.status, self.timer, self.subject, self.start, self.stop,
            self.resume, self.use, self.delete, self.report, self.previews, self.log, self.kind,
        ]  # fmt: skip

    # What is seen

    def nothing(self) -> str:
        """Before there is a concept."""
        return empty("Nothing to train yet", "Bring photos on the Dataset tab; the training starts here.")

    def show(self, name: str, request: gr.Request) -> list[Any]:
        """The tab when it is opened, or another concept chosen."""
        return [self.why_not(name, request), *self.look(name, None, request)]

    def why_not(self, name: str, request: gr.Request) -> str:
        """Why Start is off, where it is."""
        reason = self._refusal(name, request)
        return notice(reason, "info") if reason else ""

    def _refusal(self, name: str, request: gr.Request) -> str | None:
        visitor = self.studio.access.visitor(request)
        if reason := self.studio.why_not_train(visitor):
            return reason
        folder = self._find(name, request)
        if folder is None:
            return NO_PHOTOS
        if self.studio.jobs.snapshot(folder).state in ("queued", "running", "stopping"):
            return None
        try:
            brought(folder)
            draft.read(folder).subject()
        except TrainerError as error:
            return str(error)
        return None

    def look(self, name: str, seen: Any, request: gr.Request) -> list[Any]:
        """A page's look at its job: what changed since `seen`, or nothing."""
        folder = self._find(name, request)
        if folder is None:
            hidden = [gr.Button(visible=False)] * 3
            off = gr.Button(interactive=False), gr.Button(visible=False)
            return [None, self.nothing(), gr.Timer(active=False), "", *off, *hidden, "", "", "", gr.skip()]
        now = self.studio.jobs.snapshot(folder)
        going = now.state in ("queued", "running", "stopping")
        pause = self.watchers.pause(request.session_hash or "", going)
        rare = f"{name} {now.state} {now.place} {len(now.previews)} {len(now.log)} {now.message} {pause}"
        key = [rare, now.phase, now.step]
        same = [gr.skip()] * len(self.looked())
        if key == seen:
            return same
        if seen and seen[0] == rare:  # nearly always, and a fraction of the work
            return [key, status_html(now), *same[2:]]
        usable = concept.has_weights(folder) and not going
        return [
            key,
            status_html(now) if now.state != "new" else ready_html(folder),
            gr.Timer(pause, active=True),
            subject_html(folder),
            gr.Button(
                "Train again" if now.state in ENDED else "Start training",
                interactive=not going and self._refusal(name, request) is None,
            ),
            gr.Button(visible=now.state in ("queued", "running")),
            gr.Button(
                visible=now.can_go_on
                or (now.state in ("stopped", "interrupted", "failed") and now.total is not None)
            ),
            gr.Button(visible=usable),
            gr.Button(visible=not going),
            report_html(folder),
            previews_html(now),
            log_html(now),
            draft.read(folder).kind,
        ]

    def _find(self, name: str, request: gr.Request) -> Path | None:
        owner = self.studio.access.visitor(request).owner
        if not owner or not name or name == NEW:
            return None
        try:
            return self.studio.workspace.find(owner, name)
        except TrainerError:
            return None

    # What is done

    def begin(self, request: gr.Request, sure: bool, name: str, preset: str, *values: Any) -> list[Any]:
        """Start, or queue, a training."""
        if not sure:
            return [gr.skip()] * (1 + len(self.looked()))
        try:
            self._submit(name, self._given(preset, values), preset, request)
        except TrainerError as error:
            return [notice(str(error), "error"), *self.look(name, None, request)]
        return ["", *self.look(name, None, request)]

    def _given(self, preset: str, values: tuple[Any, ...]) -> dict[str, Any]:
        """The page's settings; an empty field is None."""
        return {
            name: None if value == "" else value for name, value in zip(self.settings, values, strict=True)
        }

    def _submit(self, name: str, given: dict[str, Any], preset: str, request: gr.Request) -> Path:
        folder = self._allowed(name, request)
        self.studio.jobs.submit(self.config(folder, given, preset))
        return folder

    def _allowed(self, name: str, request: gr.Request) -> Path:
        """The folder, for someone who may train it. Raises TrainerError."""
        visitor = self.studio.access.visitor(request)
        if reason := self.studio.why_not_train(visitor):
            raise ConfigError(reason)
        if name == NEW:
            raise ConfigError(NOTHING_TO_TRAIN)
        return self.studio.workspace.find(visitor.trainer(), name)

    def config(self, folder: Path, given: dict[str, Any], preset: str = "") -> TrainingConfig:
        """What is trained: the preset, what was given on top, and what is the app's own. Raises TrainerError."""
        said = draft.read(folder)
        brought(folder)
        if own := sorted(OWN & given.keys()):
            raise ConfigError("\n".join(f"{each}: the studio sets this itself; leave it out" for each in own))
        first = self._preset(said.kind, preset)
        # None takes back what the preset says; elsewhere it says nothing
        chosen = {name: value for name, value in given.items() if value is not None or name in first}
        values = {key: value for key, value in (first | chosen).items() if key not in OWN}
        subject = said.subject()
        values.setdefault("validation_prompt", subject["validation_prompt"])
        if not values.get("with_prior_preservation"):
            subject.pop("class_prompt", None)
        elif said.kind == "style":
            raise ConfigError("with_prior_preservation: a style has no class to be kept; leave it off")
        subject.pop("validation_prompt")
        config = training_config(
            **values | subject,
            instance_data_dir=str(folder / PHOTOS),
            output_dir=str(folder),
            report_to="none",
        )
        self._check_sources(config)
        resolution = config.resolution or self.studio.resolution()
        report = photos.review(folder / PHOTOS, resolution, said.kind)
        if report.gate == "blocked":
            raise ConfigError(f"The photos are not ready. {report.summary}: see the Dataset tab.")
        return config

    def _preset(self, kind: draft.Kind, title: str) -> dict[str, Any]:
        """The settings to begin with, on the studio's own base."""
        found = presets.presets(kind, self.machine)
        chosen = next((each for each in found if each.title == title), found[0])
        return chosen.values() | {"pretrained_model_name_or_path": self.studio.catalogue.base}

    def _check_sources(self, config: TrainingConfig) -> None:
        """Models come from the Hub or are the studio's own: a name must not reach into this machine's disk."""
        for name in FROM_THE_HUB:
            value = getattr(config, name)
            if value is None or value == self.studio.catalogue.base:
                continue
            if not self.studio.catalogue.any_base:
                raise ConfigError(
                    f"{name}: without a GPU there is only {self.studio.catalogue.base} here; leave it out"
                )
            if not HUB_NAME.fullmatch(value) or ".." in value or Path(value).exists():
                raise ConfigError(
                    f"{name}: {value[:60]!r} is refused; it takes a name on the Hub, as in owner/model"
                )

    def halt(self, name: str, request: gr.Request) -> list[Any]:
        """Stop and keep what was learnt."""
        try:
            self.studio.jobs.stop(self._allowed(name, request))
        except TrainerError as error:
            return [notice(str(error), "error"), *self.look(name, None, request)]
        return ["", *self.look(name, None, request)]

    def go_on(self, name: str, request: gr.Request) -> list[Any]:
        """From the newest checkpoint."""
        try:
            self.studio.jobs.resume(self._allowed(name, request))
        except TrainerError as error:
            return [notice(str(error), "error"), *self.look(name, None, request)]
        return ["", *self.look(name, None, request)]

    def choose(self, name: str, request: gr.Request, event: gr.EventData) -> Iterator[list[Any]]:
        """Another checkpoint of the report."""
        pressed = event._data or {}
        same = [gr.skip()] * len(self.looked())
        try:
            folder = self._allowed(name, request)
            if pressed.get("of") != name:  # another concept was chosen since it was drawn
                raise ConfigError("Another concept is shown now: press again.")
            step = int(str(pressed.get("which")))
            for told in telling(lambda tell, stop: self._choose(folder, step, tell, stop)):
                yield [told, *same]
            yield [notice(f"Step {step} is the concept now.", "good"), *self.look(name, None, request)]
        except Exception as error:  # whatever it was, the page must not be left waiting
            yield [notice(words_for(error), "error"), *self.look(name, None, request)]

    def _choose(self, folder: Path, step: int, tell: Tell, stop: threading.Event) -> None:
        from trainer.choose import choose  # here, not above: it imports torch

        with self.studio.turn(lambda ahead: tell(waiting(ahead)), stop.is_set):
            tell(progress(f"Loading step {step} back", 0, 0))
            choose(folder, step)

    def remove(self, name: str, sure: bool, request: gr.Request) -> tuple[Any, Any]:
        """Delete a concept with its photos; returns what is worked on then, and a message."""
        if not sure:
            return gr.skip(), gr.skip()
        visitor = self.studio.access.visitor(request)
        try:
            self.studio.jobs.delete(self.studio.workspace.find(visitor.home(), name))
        except TrainerError as error:
            return gr.skip(), notice(str(error), "error")
        return self.studio.working_on(visitor.owner), notice("Deleted, with its photos.", "good")

    def use_preset(self, name: str, preset: str, request: gr.Request) -> list[Any]:
        """Fill the settings in."""
        folder = self._find(name, request)
        return self._values(draft.read(folder).kind if folder else "object", preset)

    def filled_in(self) -> list[Any]:
        """What `fill` fills in."""
        return [self.filled, self.preset, self.classes, *self.settings.values()]

    def fill(self, kind: draft.Kind, filled: draft.Kind) -> list[Any]:
        """The presets, the settings, and whether there are class images, where the kind is another than it was."""
        if kind == filled:
            return [gr.skip()] * len(self.filled_in())
        found = presets.presets(kind, self.machine)
        choices = [each.title for each in found]
        values = dict(zip(self.settings, self._values(kind, choices[0]), strict=True))
        classes = kind == "object"
        values["num_class_images"] = gr.update(value=values["num_class_images"], visible=classes)
        radio = gr.Radio(choices, value=choices[0], visible=len(choices) > 1)
        return [kind, radio, gr.Accordion(visible=classes), *values.values()]

    def _values(self, kind: draft.Kind, preset: str) -> list[Any]:
        """A value for each control."""
        values = self._preset(kind, preset)
        usual = {
            each: info.default
            for each, info in TrainingConfig.model_fields.items()
            if not info.default_factory
        }
        return [values.get(each, usual.get(each)) for each in self.settings]

    def weigh(self, request: gr.Request, name: str, preset: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """What the training will need, from a measurement on this machine."""
        session = request.session_hash or ""
        stop = self.weighing[session] = threading.Event()
        on, hidden = gr.Button("How long will it take?", interactive=True), gr.Button(visible=False)
        working = gr.Button("Measuring ...", interactive=False), gr.Button("Cancel", visible=True)
        try:
            folder = self._allowed(name, request)
            config = self.config(folder, self._given(preset, values), preset)
            going = telling(lambda tell, _: self._estimate(config, tell, stop))
            yield progress(MEASURING, 0, 0), *working
            while True:
                try:
                    yield next(going), *working
                except StopIteration as end:
                    found = end.value
                    break
            if found is None:
                yield notice("Not measured: it was cancelled.", "info"), on, hidden
                return
            lacking = found.lacking(folder)
            said = notice(found.sentence(), "good") + (notice(lacking) if lacking else "")
            said += "".join(notice(each, "info") for each in advice(config))
            yield said, gr.Button("Measure again", interactive=True), hidden
        except Exception as error:  # whatever it was, the page must not be left waiting
            yield notice(words_for(error), "error"), on, hidden
        finally:
            stop.set()
            self.weighing.pop(session, None)

    def _estimate(self, config: TrainingConfig, tell: Tell, stop: threading.Event) -> Any:
        from trainer import memory  # here, not above: it imports torch

        root = self.studio.workspace.root
        if (known := memory.estimate(config, root)) is not None:
            return known
        rate = Rate()

        def on_progress(done: int, total: int) -> None:
            tell(progress(MEASURING, done, total, rate.left(done, total)))

        with self.studio.turn(lambda ahead: tell(waiting(ahead)), stop.is_set):
            painting.free()  # as a training does before it begins
            return memory.measure(config, root, on_progress, stop.is_set)

    def stop_weighing(self, request: gr.Request) -> Any:
        """Cancel this page's measurement."""
        if stop := self.weighing.get(request.session_hash or ""):
            stop.set()
        return gr.Button("Stopping ...", interactive=False)

    def show_class_images(self, name: str, request: gr.Request) -> str:
        """What keeps the class, as far as it was made."""
        folder = self._find(name, request)
        directory = self._class_directory(folder) if folder else None
        found = photos.list_photos(directory) if directory and directory.is_dir() else []
        if folder is None or directory is None or not found:
            return notice("None yet: the base paints them when the training starts.", "info")
        needed = self._needed(folder, directory)
        said = notice(needed, "info") if needed else ""
        return f'{said}<div data-of="{escape(name)}">{class_images_html(found)}</div>'

    def cull(self, name: str, request: gr.Request, event: gr.EventData) -> str:
        """Take a class image out."""
        pressed = event._data or {}
        if pressed.get("of") != name:  # another concept was chosen since they were drawn
            return self.show_class_images(name, request)
        try:
            folder = self._allowed(name, request)
            directory = self._class_directory(folder)
            if directory is not None:
                if needed := self._needed(folder, directory):
                    raise ConfigError(needed)
                from trainer.generation import cull_class_image  # here, not above: it imports torch

                cull_class_image(directory, str(pressed.get("which")))
        except TrainerError as error:
            return notice(str(error), "error") + self.show_class_images(name, request)
        return self.show_class_images(name, request)

    def _needed(self, folder: Path, directory: Path) -> str | None:
        """Why no class image can be taken out just now, or None. The concepts of one class share them."""
        for file in sorted(folder.parent.glob(f"[!.]*/{concept.SETTINGS_FILE}")):
            each = file.parent
            now = self.studio.jobs.snapshot(each)
            going = now.state in ("queued", "running", "stopping")
            if not (going or now.can_go_on) or self._class_directory(each) != directory:
                continue
            if going:
                return f"{read_title(each)} is being trained with these: take some out when it has finished."
            return (
                f"{read_title(each)} stopped at step {now.checkpoint} and can go on, but only with the class images it"
                " began with. Go on and finish, or Train again, first; then take some out."
            )
        return None

    def _class_directory(self, folder: Path) -> Path | None:
        if not (folder / concept.SETTINGS_FILE).is_file():
            return None
        config = training_config(**concept.read_run_settings(folder)["config"])
        if not config.with_prior_preservation:
            return None
        from trainer import preparation  # here, not above: it imports torch

        return preparation.class_directories(config, config.resolution or self.studio.resolution() or 512)[0]

    # The API

    def _endpoints(self) -> None:
        with gr.Row(visible=False):
            concept_name = gr.Textbox(label="concept")
            settings = gr.JSON(label="settings")
            answer = gr.JSON(label="status")
        endpoint(self.start_training, [concept_name, settings], [answer], "start_training")
        endpoint(self.job_status, [concept_name], [answer], "job_status", queue=False)
        endpoint(self.stop_training, [concept_name], [answer], "stop_training", queue=False)

    def start_training(
        self, concept: str, settings: dict[str, Any] | None, request: gr.Request
    ) -> dict[str, Any]:
        """Train a concept that /check_photos made. `settings` are TrainingConfig's by name; the preset has the others."""
        try:
            given = settings or {}
            if not isinstance(given, dict):
                raise ConfigError('settings: an object is needed, as {"max_train_steps": 200}')
            return told(self.studio.jobs.snapshot(self._submit(concept, given, "", request)))
        except Exception as error:  # whatever it was, no client is told of this machine
            raise refused(error) from None

    def job_status(self, concept: str, request: gr.Request) -> dict[str, Any]:
        """Where a training stands: state, place in the queue, phase, step, total, seconds left, losses, log."""
        try:
            owner = self.studio.access.visitor(request).home()
            return told(self.studio.jobs.snapshot(self.studio.workspace.find(owner, concept)))
        except Exception as error:  # whatever it was, no client is told of this machine
            raise refused(error) from None

    def stop_training(self, concept: str, request: gr.Request) -> dict[str, Any]:
        """Stop after this step and keep what was learnt; take a waiting job off the queue."""
        try:
            folder = self._allowed(concept, request)
            self.studio.jobs.stop(folder)
            return told(self.studio.jobs.snapshot(folder))
        except Exception as error:  # whatever it was, no client is told of this machine
            raise refused(error) from None


def _groups() -> dict[str, list[str]]:
    """The settings that are not in view, by their group."""
    found: dict[str, list[str]] = {}
    for name, info in TrainingConfig.model_fields.items():
        if name not in OWN and name not in MAIN:
            found.setdefault(extra(info)["group"], []).append(name)
    return found


def told(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot for a client; no path of this machine's."""
    plain = {name: getattr(snapshot, name) for name in Snapshot.__dataclass_fields__ if name != "previews"}
    return plain | {"previews": [[step, path.name] for step, path in snapshot.previews]}
