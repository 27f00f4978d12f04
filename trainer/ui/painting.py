"""Sample pictures in a thread, and tell how far they are. Nothing heavy is imported before the first call."""

import logging
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer import concept
from trainer.config import GenerationConfig
from trainer.errors import TrainerError
from trainer.ui.background import Tell, telling

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)

PREVIEW_SIDE = 256  # px
LOOK_SECONDS = 0.5  # between two looks at a download


@dataclass(frozen=True)
class Loading:
    """The libraries and the model are being read."""


@dataclass(frozen=True)
class Fetching:
    """The model is being downloaded: `done` bytes are here."""

    done: int


@dataclass(frozen=True)
class Step:
    """`done` of `total` denoising steps of picture set `run`."""

    run: int
    done: int
    total: int


@dataclass(frozen=True)
class Preview:
    """What the pictures from `first` on of set `run` look like so far: JPEGs."""

    run: int
    first: int
    pictures: tuple[bytes, ...]


@dataclass(frozen=True)
class Note:
    """Something the person should know."""

    text: str


@dataclass(frozen=True)
class Done:
    """Set `run`, finished."""

    run: int
    images: "list[Image]"


@dataclass(frozen=True)
class Failed:
    """Why there are no more pictures, in words meant for users."""

    text: str


Told = Loading | Fetching | Step | Preview | Note | Done | Failed


def paint(configs: Sequence[GenerationConfig]) -> Generator[Told, None, None]:
    """Sample each config in turn. Closing the generator stops the sampling and waits until the device is free.

    A TrainerError is told, not raised: on a lent GPU this runs in another process, out of which errors lose their words.
    """

    def work(tell: Tell, stop: threading.Event) -> None:
        tell(Loading())
        for config in configs:
            _fetch(config.concept, tell, stop)
        for run, config in enumerate(configs):
            _paint_one(run, config, tell, stop)

    try:
        yield from telling(work)
    except TrainerError as error:
        yield Failed(str(error))


def _fetch(directory: str, tell: Tell, stop: threading.Event) -> None:
    """Have what comes from the Hub here. Once stopped nobody waits for it any more, but it goes on coming."""
    wanted = _on_the_hub(directory)
    if wanted is None or stop.is_set():
        return
    from trainer import models

    fetched = threading.Event()

    def fetch() -> None:
        try:
            models.download(*wanted)
        except TrainerError as error:
            logger.info("told when it is loaded: %s", error)
        finally:
            fetched.set()

    threading.Thread(target=fetch, name=f"fetching {wanted[0]}", daemon=True).start()
    before = models.bytes_downloaded(wanted[0])
    while not fetched.wait(LOOK_SECONDS) and not stop.is_set():
        now = models.bytes_downloaded(wanted[0])
        tell(Fetching(now) if now > before else Loading())  # either way: whoever is told notices a Cancel


def _on_the_hub(directory: str) -> tuple[str, str | None, str | None] | None:
    """Name, revision and variant of what has to be downloaded for a concept or a base; None where all of it is here."""
    folder = Path(directory)
    if not folder.is_dir():
        return directory, None, None
    if not (folder / concept.LORA_FILE).is_file():
        return None
    config = concept.read_settings(folder)["config"]
    base = str(config["pretrained_model_name_or_path"])
    return None if Path(base).is_dir() else (base, config.get("revision"), config.get("variant"))


def _paint_one(run: int, config: GenerationConfig, tell: Tell, stop: threading.Event) -> None:
    if stop.is_set():
        return
    from trainer import generation, sampling

    pipeline = loaded(config.concept)
    if run == 0:
        for prompt in (config.prompt, config.negative_prompt):
            if cut := sampling.truncated_part(pipeline.tokenizer, prompt):
                tell(Note(f"The text encoder reads only so far. It left out: {cut[:80]}"))
    images = generation.generate(
        pipeline,
        config,
        on_step=lambda done, total: tell(Step(run, done, total)),
        on_preview=lambda first, seen: tell(Preview(run, first, tuple(map(jpeg, seen)))),
        should_stop=stop.is_set,
    )
    tell(Done(run, images))


def jpeg(image: "Image") -> bytes:
    stream = BytesIO()
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    image.save(stream, "JPEG", quality=80)
    return stream.getvalue()


def loaded(directory: str) -> Any:
    """The pipeline of a concept or a base, kept for the next time."""
    return _pipeline(directory, _version(directory))


@lru_cache(maxsize=2)  # a concept and the base beside it
def _pipeline(directory: str, version: tuple[int, ...]) -> Any:
    import torch

    from trainer import generation

    half = torch.cuda.is_available()
    return generation.load_concept(directory, torch_dtype=torch.float16 if half else torch.float32)


def _version(directory: str) -> tuple[int, ...]:
    """Tells a folder's weights from those that it holds after another training; empty for a name on the Hub."""
    files = Path(directory).glob("*.*") if Path(directory).is_dir() else ()
    return tuple(
        sorted(file.stat().st_mtime_ns for file in files if file.suffix in {".safetensors", ".json"})
    )


def free() -> None:
    """Let go of the models, for a training that needs the memory."""
    _pipeline.cache_clear()


def warm() -> None:
    """Import what the first picture will need, while its prompt is being typed."""
    threading.Thread(target=_import, name="warming", daemon=True).start()


def _import() -> None:
    from trainer import generation

    logger.info("ready: %s", generation.__name__)
