"""What the tabs share: who may come in, what there is to paint with, where things lie, which endpoints there are."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from trainer.errors import TrainerError
from trainer.ui.access import Access
from trainer.ui.catalogue import Catalogue

logger = logging.getLogger(__name__)

GPU = "gpu"  # the concurrency_id of everything that needs the device


@dataclass(frozen=True)
class Studio:
    """One running app."""

    access: Access
    catalogue: Catalogue

    def busy(self) -> str | None:
        """Why the device is taken, or None."""
        return None


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


def refused(error: TrainerError) -> gr.Error:
    """For an API client: the message, and no traceback."""
    return gr.Error(str(error), duration=None, print_exception=False)
