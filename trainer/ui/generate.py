"""The Generate tab: a concept, a prompt, pictures; beside the base, at the same seeds."""

import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from trainer import metadata
from trainer.config import MAX_PROMPT_CHARACTERS, GenerationConfig, generation_config
from trainer.errors import BusyError, ConfigError, TrainerError
from trainer.ui import painting
from trainer.ui.access import on_zero_gpu
from trainer.ui.catalogue import Choice
from trainer.ui.controls import control, file_of_ones_own
from trainer.ui.sheet import Pace, Sheet, columns_for
from trainer.ui.studio import GPU, MAX_WAITING, Studio, endpoint, refused, words_for
from trainer.ui.theme import empty, heading, notice, picture
from trainer.ui.turns import waiting

MAX_SAMPLES = 8  # pictures a request; one visitor must not keep the device from the others
MAX_SIDE = 1024  # px
MAX_STEPS = 150
ZERO_GPU_SECONDS = 120
SECONDS_BETWEEN = 0.15  # pages are not told more often
SETTINGS = (
    "prompt", "negative_prompt", "num_samples", "guidance_scale",
    "num_inference_steps", "seed", "width", "height", "scheduler",
)  # fmt: skip
LIMITS = {"num_samples": MAX_SAMPLES, "num_inference_steps": MAX_STEPS, "width": MAX_SIDE, "height": MAX_SIDE}


def asked(values: dict[str, Any]) -> GenerationConfig:
    """What the page or a client asks for. Raises ConfigError with each wrong setting, its value and its range."""
    config = generation_config(**values)
    over = [
        f"{name}: {given} is refused; here it is at most {limit}"
        for name, limit in LIMITS.items()
        if (given := getattr(config, name)) is not None and given > limit
    ]
    if over:
        raise ConfigError("\n".join(over))
    return config


def jobs(config: GenerationConfig, choice: Choice, beside: bool) -> list[tuple[str, GenerationConfig]]:
    """The title and the settings of each set of pictures: the concept's, and the base's at the same seeds."""
    wanted = [(choice.title, config.model_copy(update={"concept": choice.folder}))]
    if beside and not choice.is_base:
        wanted.append((f"{choice.base_title}, untrained", config.model_copy(update={"concept": choice.base})))
    return wanted


class Generate:
    """Builds the tab's components and holds their handlers."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.stops: dict[str, threading.Event] = {}
        self.paint = painting.paint
        if on_zero_gpu():
            import spaces

            self.paint = spaces.GPU(painting.paint, duration=ZERO_GPU_SECONDS)

    # The page

    def build(self) -> None:
        """Lay the tab out and wire it."""
        first = self.studio.catalogue.choices(None)[0]
        with gr.Row(elem_classes="bench"):
            with gr.Column(scale=5, min_width=320, elem_classes="tools"):
                self._tools(first)
            with gr.Column(scale=8, min_width=320, elem_classes="stage"):
                self.stage = gr.HTML(self.waiting(first), elem_id="stage", padding=False)
                self.gallery = gr.Gallery(
                    visible=False,
                    show_label=False,
                    label="Pictures",
                    elem_id="pictures",
                    object_fit="contain",
                    height="auto",
                    buttons=["download", "download_all", "fullscreen"],
                    interactive=False,
                )
                with gr.Row(visible=False, elem_classes="after") as self.after:
                    self.link = gr.Textbox(
                        label="Link that makes these again",
                        buttons=["copy"],
                        interactive=False,
                        max_lines=1,
                        elem_id="link",
                        scale=4,
                    )
        self._wire()

    def _tools(self, first: Choice) -> None:
        gr.HTML(
            heading("Paint with it", "Pick a concept, say where it should be, press Generate."), padding=False
        )
        self.concept = gr.Dropdown(
            [(first.title, first.key)],
            value=first.key,
            label="Concept",
            elem_id="concept",
            allow_custom_value=self.studio.catalogue.any_base,
            filterable=self.studio.catalogue.any_base,
        )
        self.prompt = gr.Textbox(
            value=first.prompts[0],
            label="Prompt",
            lines=2,
            max_lines=5,
            max_length=MAX_PROMPT_CHARACTERS,
            elem_id="prompt",
            placeholder="a photo of ...",
        )
        with gr.Row(elem_classes="chips"):
            self.chip = gr.Button(
                first.word,
                size="sm",
                visible=bool(first.word),
                elem_id="chip",
                elem_classes="chip",
                min_width=0,
                scale=0,
            )
            self.examples = gr.Dataset(
                components=[self.prompt],
                samples=samples_of(first),
                sample_labels=first.prompt_labels,
                show_label=False,
                label="Prompts to start from",
                container=False,
                elem_id="examples",
            )
        self.beside = gr.Checkbox(
            True,
            label="Show the untrained base beside it",
            info="The same prompt, the same seeds.",
            elem_id="beside",
        )
        with gr.Row(elem_classes="go"):
            self.start = gr.Button("Generate", variant="primary", size="lg", elem_id="generate", scale=3)
            self.cancel = gr.Button(
                "Cancel", size="lg", visible=False, elem_id="cancel", scale=1, min_width=96
            )
        with gr.Column(elem_classes="more"):
            self._details(first)

    def _details(self, first: Choice) -> None:
        def setting(name: str, **changes: Any) -> gr.components.Component:
            limit = {"maximum": LIMITS[name]} if name in LIMITS else {}
            return control(GenerationConfig, name, **limit, elem_id=f"generate-{name}", **changes)

        made = {"negative_prompt": setting("negative_prompt", lines=1, max_lines=3)}
        made["num_samples"] = setting("num_samples", label="Pictures", value=2, info=None, buttons=[])
        made["guidance_scale"] = setting(
            "guidance_scale", label="Guidance", value=first.guidance_scale, maximum=20, buttons=[]
        )
        with gr.Accordion("Advanced", open=False):
            made["num_inference_steps"] = setting("num_inference_steps", label="Steps", buttons=[])
            made["seed"] = setting("seed")
            with gr.Row():
                made["width"] = setting("width", min_width=120, placeholder="own")
                made["height"] = setting("height", min_width=120, placeholder="own")
            made["scheduler"] = setting("scheduler", label="Sampler", info=None)
        with gr.Accordion("Bring a picture back", open=False):
            self.dropped = file_of_ones_own(
                label="Drop a PNG made here: its settings come back",
                file_types=[".png"],
                height=120,
                elem_id="restore",
            )
        self.settings = {"prompt": self.prompt, **{name: made[name] for name in SETTINGS[1:]}}

    def _wire(self) -> None:
        told = [self.stage, self.gallery, self.after, self.link, self.start, self.cancel]
        asked_for = [self.concept, self.beside, *self.settings.values()]
        painted = gr.on(
            [self.start.click, self.prompt.submit],
            self.paint_for_page,
            asked_for,
            told,
            concurrency_id=GPU,
            concurrency_limit=MAX_WAITING,
            show_progress="hidden",
            api_visibility="private",
            trigger_mode="once",
        )
        # gradio itself refused it, aloud: a number out of its field's range, or too many waiting
        painted.failure(
            lambda: (
                notice("Nothing was painted, for the reason just shown.", "error"),
                gr.Button("Generate", interactive=True),
            ),
            None,
            [self.stage, self.start],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
        self.cancel.click(
            self.stop, None, self.cancel, queue=False, show_progress="hidden", api_visibility="private"
        )
        self.prompt.focus(painting.warm, queue=False, show_progress="hidden", api_visibility="private")
        self.concept.input(
            self.choose, self.concept, self.chosen(),
            queue=False, show_progress="hidden", api_visibility="private",
        )  # fmt: skip
        self.chip.click(
            None, [self.prompt, self.chip], self.prompt, js="(prompt, word) => prompt.includes(word) ? prompt : (prompt + ' ' + word).trim()",
            api_visibility="private",
        )  # fmt: skip
        self.examples.click(
            lambda sample: sample[0],
            self.examples,
            self.prompt,
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
        self.dropped.upload(
            self.restore,
            self.dropped,
            [self.stage, self.concept, self.chip, self.examples, *self.settings.values()],
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
        self._endpoint()

    def on_load(self) -> tuple[Any, list[Any]]:
        """What to call when a page opens, and what it fills in."""
        return self.open, [self.stage, self.concept, self.chip, self.examples, *self.settings.values()]

    # Handlers

    def waiting(self, choice: Choice) -> str:
        """The stage before there is a picture."""
        photos = [
            picture(
                thumbnail(path, path.stat().st_mtime_ns), f"photo of the {choice.class_noun or 'subject'}"
            )
            for path in choice.photos[:5]
        ]
        if choice.is_base:
            return empty(
                "The base, as it comes", "It has learnt no one in particular. Ask it for anything it knows."
            )
        learnt = f"It learnt this {choice.class_noun}" if choice.class_noun else "It learnt this"
        return empty(
            f"{learnt} from {len(choice.photos)} photos" if photos else choice.title,
            f"Press Generate to see it somewhere new. In a prompt it is called “{choice.word}”."
            if choice.word
            else "Press Generate to see it somewhere new.",
            photos,
        )

    def open(self, request: gr.Request) -> list[Any]:
        """A fresh page: the visitor's concepts, and what the link asks for."""
        owner = self.studio.access.visitor(request).owner
        choices = self.studio.catalogue.choices(owner)
        query = {
            name: value
            for name, value in dict(request.query_params).items()
            if name in ("concept", *SETTINGS)
        }
        chosen, said = choices[0], ""
        values: dict[str, Any] = {}
        if "concept" in query:
            try:
                chosen = self.studio.catalogue.find(query["concept"], owner)
            except TrainerError as error:
                said = notice(
                    str(error),
                    remedy="The link's other settings are filled in; another concept can have them.",
                )
        own = {"prompt": chosen.prompts[0], "guidance_scale": chosen.guidance_scale}
        if query:
            try:
                values = settings_of({**own, **query, "concept": chosen.key})
                said = said or notice(
                    "The link's settings are filled in: press Generate to make its pictures again.", "info"
                )
            except ConfigError as error:
                said = notice(f"This link cannot be used: {error}")
        return [
            said + self.waiting(chosen),
            gr.Dropdown([(choice.title, choice.key) for choice in choices], value=chosen.key),
            *word_and_samples(chosen),
            *(values.get(name, own.get(name, gr.skip())) for name in SETTINGS),
        ]

    def choices(self, key: str, request: gr.Request) -> gr.Dropdown:
        """The concepts as they are now: another may have been trained since the page was opened."""
        found = self.studio.catalogue.choices(self.studio.access.visitor(request).owner)
        there = key in [choice.key for choice in found] or self.studio.catalogue.any_base
        chosen = key if there else found[0].key
        return gr.Dropdown([(choice.title, choice.key) for choice in found], value=chosen)

    def take(self, key: str, request: gr.Request) -> tuple[Any, ...]:
        """Paint with the concept that was just trained."""
        return self.choices(key, request), *self.choose(key, request)

    def chosen(self) -> list[Any]:
        """What `choose` fills in."""
        guidance = self.settings["guidance_scale"]
        return [self.prompt, self.chip, self.examples, self.stage, self.gallery, self.after, guidance]

    def choose(self, key: str, request: gr.Request) -> tuple[Any, ...]:
        """Another concept: its word, its prompts, its photos."""
        try:
            choice = self.studio.catalogue.find(key, self.studio.access.visitor(request).owner)
        except TrainerError as error:
            kept = gr.skip(), gr.skip(), gr.skip()
            return *kept, notice(str(error), "error"), *kept
        hidden = gr.Gallery(visible=False), gr.Row(visible=False)
        shown = choice.prompts[0], *word_and_samples(choice), self.waiting(choice)
        return *shown, *hidden, choice.guidance_scale

    def restore(self, path: str, request: gr.Request) -> list[Any]:
        """Settings out of a picture that was made here."""
        try:
            settings = metadata.read_settings(path)["settings"]
            values = settings_of(settings)
        except ConfigError as error:
            said = notice(str(error).replace(path, Path(path).name), "error")
            return [said, *[gr.skip()] * (3 + len(SETTINGS))]
        key = str(settings.get("concept", ""))
        concept: list[Any] = [gr.skip()] * 3
        try:
            choice = self.studio.catalogue.find(key, self.studio.access.visitor(request).owner)
            said = notice("The picture's settings are back: press Generate to make it again.", "good")
            concept = [key, *word_and_samples(choice)]
        except TrainerError:
            said = notice(
                f"The settings are back, but its concept, {key[:80]}, is not here: another one paints in its place."
            )
        return [said, *concept, *(values[name] for name in SETTINGS)]

    def stop(self, request: gr.Request) -> Any:
        """Cancel this page's pictures."""
        if stop := self.stops.get(request.session_hash or ""):
            stop.set()
        return gr.Button("Stopping ...", interactive=False)

    def paint_for_page(
        self, request: gr.Request, key: str, beside: bool, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        """Pictures for the page: progress and previews first, the gallery last."""
        idle = gr.Button("Generate", interactive=True), gr.Button(visible=False)
        still = gr.skip(), gr.skip(), gr.skip()
        try:
            choice, config = self._asked(key, dict(zip(SETTINGS, values, strict=True)), request)
        except TrainerError as error:
            yield notice(str(error), "error"), *still, *idle
            return
        session = request.session_hash or ""
        stop = self.stops[session] = threading.Event()
        hidden = gr.Gallery(visible=False), gr.Row(visible=False), gr.skip()
        working = (
            gr.Button("Generating ...", interactive=False),
            gr.Button("Cancel", visible=True, interactive=True),
        )
        wanted = jobs(config, choice, beside)
        with tempfile.TemporaryDirectory() as directory:
            try:
                for html, finished in self._in_turn(wanted, stop, hints(choice, config.prompt)):
                    if finished is None:
                        yield html, *hidden, *working
                        continue
                    shown = captioned(finished, wanted, key, Path(directory))
                    if not shown:
                        yield html + self.waiting(choice), *hidden, *idle
                        continue
                    runs = len({title for title, *_ in finished})
                    gallery = gr.Gallery(shown, visible=True, columns=columns_for(config.num_samples, runs))
                    yield html, gallery, gr.Row(visible=True), link_to(config, key, request), *idle
            except Exception as error:  # whatever it was, the page must not be left waiting
                yield notice(words_for(error), "error"), *hidden, *idle
            finally:
                self.stops.pop(session, None)

    def _asked(
        self, key: str, values: dict[str, Any], request: gr.Request
    ) -> tuple[Choice, GenerationConfig]:
        """Raises TrainerError for settings out of range, a concept that is not there, a device that is taken."""
        config = asked(values | {"concept": key or "-"})
        choice = self.studio.catalogue.find(key, self.studio.access.visitor(request).owner)
        if taken := self.studio.busy():
            raise BusyError(taken)
        return choice, config

    def _in_turn(
        self, wanted: list[tuple[str, GenerationConfig]], stop: threading.Event, notes: list[str]
    ) -> Iterator[tuple[str, list[tuple[str, Any]] | None]]:
        """(HTML, None) while others are ahead and while it goes on; last (HTML, the finished sets by title)."""
        with self.studio.turns.taken() as ahead:
            while before := ahead():
                if stop.is_set():
                    yield notice("Cancelled before it began.", "info"), []
                    return
                yield waiting(before), None
            yield from self._painted(wanted, stop, notes)

    def _painted(
        self, wanted: list[tuple[str, GenerationConfig]], stop: threading.Event, notes: list[str]
    ) -> Iterator[tuple[str, list[tuple[str, Any]] | None]]:
        """(HTML, None) while it goes on; last (HTML, the finished sets of pictures by title)."""
        titles = [title for title, _ in wanted]
        pace, sheet = Pace(len(wanted)), Sheet(titles, wanted[0][1].num_samples, notes=notes)
        finished: list[tuple[str, Any]] = []
        label, said = "Waking the model", 0.0
        with self.studio.device(), closing(self.paint([config for _, config in wanted])) as told:
            for item in told:
                match item:
                    case painting.Fetching(done):
                        label = f"Downloading the model, {done / 1e9:.1f} GB so far"
                    case painting.Loading():
                        label = "Waking the model"
                    case painting.Step():
                        pace.step(item)
                        label = f"Painting, step {pace.done} of {pace.total}"
                    case painting.Preview(run, first, pictures):
                        sheet.previews |= {(run, first + i): data for i, data in enumerate(pictures)}
                    case painting.Note(text):
                        sheet.notes.append(text)
                    case painting.Done(run, images):
                        finished.append((titles[run], images))
                    case painting.Failed(text):
                        raise TrainerError(text)
                if stop.is_set():
                    break
                if time.monotonic() - said > SECONDS_BETWEEN:
                    said = time.monotonic()
                    yield sheet.html(label, pace), None
        said_last = "".join(notice(note, "info") for note in sheet.notes)
        if stop.is_set():
            kept = "what was finished is kept" if finished else "nothing was finished yet"
            said_last += notice(f"Cancelled; {kept}.", "info")
        yield said_last, finished

    # The API

    def _endpoint(self) -> None:
        with gr.Row(visible=False):
            inputs: list[gr.components.Component] = [
                gr.Textbox(label="prompt"),
                gr.Textbox(self.studio.catalogue.choices(None)[0].key, label="concept"),
            ]
            for name in SETTINGS[1:]:
                kind = gr.Textbox if name in ("negative_prompt", "scheduler") else gr.Number
                # 0 is the base's own side: gradio takes None for "must be given"
                default: Any = GenerationConfig.model_fields[name].default
                value: Any = 0 if default is None else default
                inputs.append(kind(value, label=name))
            inputs.append(gr.Checkbox(False, label="beside_the_base"))
            pictures = gr.Gallery(label="pictures")
        endpoint(
            self.generate_for_client,
            inputs,
            [pictures],
            "generate",
            concurrency_id=GPU,
            concurrency_limit=MAX_WAITING,
        )

    def generate_for_client(
        self,
        prompt: str,
        concept: str,
        negative_prompt: str,
        num_samples: int,
        guidance_scale: float,
        num_inference_steps: int,
        seed: int,
        width: int | None,
        height: int | None,
        scheduler: str,
        beside_the_base: bool,
        request: gr.Request,
    ) -> Iterator[list[tuple[str, str]]]:
        """Pictures of a concept as PNG files that carry their settings, each with its title and seed as a caption.

        `concept` is example/teddy-bear, toybox (the base itself), or the name of one of your own.
        """
        values = {name: value for name, value in locals().items() if name in SETTINGS}
        values |= {"width": width or None, "height": height or None}
        try:
            choice, config = self._asked(concept, values, request)
            wanted = jobs(config, choice, beside_the_base)
            finished: list[tuple[str, Any]] = []
            with self.studio.turn(lambda ahead: None):
                for item in self.paint([each for _, each in wanted]):
                    match item:
                        case painting.Done(run, images):
                            finished.append((wanted[run][0], images))
                        case painting.Note(text):
                            gr.Warning(text)
                        case painting.Failed(text):
                            raise TrainerError(text)
            with tempfile.TemporaryDirectory() as directory:
                yield captioned(finished, wanted, concept, Path(directory))
        except Exception as error:  # whatever it was, no client is told of this machine
            raise refused(error) from None


def hints(choice: Choice, prompt: str) -> list[str]:
    """What is allowed but probably not meant."""
    if not choice.identifier or re.search(rf"\b{re.escape(choice.identifier)}\b", prompt, re.IGNORECASE):
        return []
    return [
        f"The prompt does not say \u201c{choice.identifier}\u201d, the word that {choice.title} answers to."
    ]


def word_and_samples(choice: Choice) -> tuple[gr.Button, gr.Dataset]:
    """The identifier's chip and the example prompts."""
    samples = gr.Dataset(samples=samples_of(choice), sample_labels=choice.prompt_labels)
    return gr.Button(choice.word, visible=bool(choice.word)), samples


def samples_of(choice: Choice) -> list[list[str]]:
    return [[prompt] for prompt in choice.prompts]


def settings_of(values: dict[str, Any]) -> dict[str, Any]:
    """Checked settings for the controls. Raises ConfigError."""
    known = {
        name: value for name, value in values.items() if name in GenerationConfig.model_fields and value != ""
    }
    config = asked(known | {"concept": known.get("concept", "-")})
    return {name: getattr(config, name) for name in SETTINGS}


def captioned(
    finished: Sequence[tuple[str, Any]],
    wanted: Sequence[tuple[str, GenerationConfig]],
    key: str,
    directory: Path,
) -> list[tuple[str, str]]:
    """(file, caption) of every picture, each of the concept's beside the base's of the same seed."""
    from trainer.generation import save_images

    columns = []
    for (title, images), (_, config) in zip(finished, wanted, strict=False):
        painted_by = key if config is wanted[0][1] else metadata.concept_name(config.concept)
        named = config.model_copy(update={"concept": painted_by})
        files = save_images(images, named, directory)
        columns.append([(str(file), f"{title} · seed {config.seed + i}") for i, file in enumerate(files)])
    return [each for row in zip(*columns, strict=True) for each in row]


def link_to(config: GenerationConfig, key: str, request: gr.Request) -> str:
    """The page's own address with all that is not as usual: never a token, never a path."""
    usual = GenerationConfig.model_fields
    changed = {
        name: value
        for name in SETTINGS
        if (value := getattr(config, name)) is not None
        and (value != usual[name].default or name == "guidance_scale")  # a concept has its own usual one
    }
    headers = request.headers
    host = headers.get("x-forwarded-host") or headers.get("host") or "localhost"
    scheme = (headers.get("x-forwarded-proto") or request.url.scheme or "http").split(",")[0]
    if space := os.environ.get("SPACE_HOST"):
        scheme, host = "https", space.split(",")[0]
    return f"{scheme}://{host}/?{urlencode({'concept': key, **changed})}"


@lru_cache(maxsize=256)
def thumbnail(path: Path, version: int, side: int = 256) -> bytes:
    """A photo's square, small, as JPEG; of a file that is written anew, `version` is another."""
    from PIL import ImageOps

    from trainer.photos import open_photo

    stream = BytesIO()
    ImageOps.fit(open_photo(path), (side, side)).save(stream, "JPEG", quality=82)
    return stream.getvalue()
