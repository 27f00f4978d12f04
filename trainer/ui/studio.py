"""What the tabs share: who may come in, what there is to paint with, where things lie, which endpoints there are."""

import errno
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from trainer.errors import BusyError, TrainerError
from trainer.jobs import Jobs
from trainer.ui.access import Access, Visitor, on_zero_gpu
from trainer.ui.catalogue import STABLE_DIFFUSION, Catalogue
from trainer.ui.turns import Turns
from trainer.workspace import Workspace, read_title

logger = logging.getLogger(__name__)

GPU = "gpu"  # the concurrency_id of everything that waits for a turn at the device
MAX_WAITING = (
    16  # each takes one of gradio's forty threads; whoever comes after them waits in gradio's own queue
)
NEW = "+new"  # no folder is called so
NEW_TITLE = "A new concept"


@dataclass(frozen=True)
class Studio:
    """One running app."""

    access: Access
    catalogue: Catalogue
    workspace: Workspace
    jobs: Jobs
    turns: Turns = field(default_factory=Turns)

    def busy(self) -> str | None:
        """Why the device is taken, or None."""
        return self.jobs.busy()

    def device(self) -> AbstractContextManager[None]:
        """Hold the device for something short. Raises BusyError, saying why, where a training has it."""
        return self.jobs.device()

    @contextmanager
    def turn(
        self, on_wait: Callable[[int], object], should_stop: Callable[[], bool] = lambda: False
    ) -> Iterator[None]:
        """Hold the device once all who came before are done; meanwhile `on_wait` is told how many those are.

        Raises BusyError where a training has it by then, or the wait was stopped.
        """
        with self.turns.taken() as ahead:
            while before := ahead():
                if should_stop():
                    raise BusyError("Cancelled before its turn came.")
                on_wait(before)
            with self.device():
                yield

    def resolution(self) -> int | None:
        """The side in px that the base was made for, where that is known without loading it."""
        side: int | None = _resolution(self.catalogue.base)
        return side

    def why_not_train(self, visitor: Visitor) -> str | None:
        """Why this visitor cannot train here, or None."""
        if on_zero_gpu():
            return (
                "Training cannot run on ZeroGPU: it lends a GPU for a minute or two at a time. Duplicate this Space on a"
                " GPU of its own, or train on your own machine."
            )
        return visitor.refusal

    def newest(self, request: gr.Request) -> gr.Dropdown:
        """A fresh page works on what its visitor made last, before they logged in too."""
        visitor = self.access.visitor(request)
        owner = visitor.owner
        if owner and visitor.before:
            self.workspace.adopt(visitor.before, owner)
        folders = self.workspace.concepts(owner) if owner else []
        return self.working_on(owner, folders[0].name if folders else NEW)

    def working_on(self, owner: str | None, name: str = NEW) -> gr.Dropdown:
        """The visitor's concepts to choose from, `name` being chosen; hidden while there are none."""
        folders = self.workspace.concepts(owner) if owner else []
        choices = [(read_title(folder), folder.name) for folder in folders]
        return gr.Dropdown([*choices, (NEW_TITLE, NEW)], value=name, visible=bool(folders))


@cache
def _resolution(base: str) -> int | None:
    folder = Path(base)
    if base == STABLE_DIFFUSION:
        return 512
    if not folder.is_dir():
        return None
    unet = json.loads((folder / "unet" / "config.json").read_text())
    vae = json.loads((folder / "vae" / "config.json").read_text())
    return int(unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1))


def endpoint(
    function: Callable[..., Any],
    inputs: Sequence[gr.components.Component],
    outputs: Sequence[gr.components.Component],
    name: str,
    **options: Any,
) -> None:
    """A documented way in for gradio_client. The components are never shown: they read and check what is sent."""
    gr.Button(visible=False).click(
        function, list(inputs), list(outputs), api_name=name, show_progress="hidden", **options
    )


def words_for(error: Exception) -> str:
    """What a page says of an error: its own words where it is meant for users, else that there was one."""
    if isinstance(error, TrainerError):
        return str(error)
    if isinstance(error, gr.Error):  # as a Space's lent GPU refuses
        return str(error.message)
    logger.exception("not foreseen", exc_info=error)
    if (
        isinstance(error, MemoryError)
        or "out of memory" in str(error)
        or "can't allocate memory" in str(error)
    ):
        return "Out of memory. Fewer or smaller pictures at a time may fit."
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "The disk is full: free some space, then try again."
    return f"Something failed that should not have ({type(error).__name__}); the app's log says what. Nothing of yours is lost."


def refused(error: Exception) -> gr.Error:
    """For an API client: the words for it, and no traceback."""
    return gr.Error(words_for(error), duration=None, print_exception=False)
