"""What the tabs share: the words for an error; and what a session must not keep."""

import errno

import gradio as gr
import pytest
from gradio.context import LocalContext
from gradio.routes import App

from trainer.errors import ConfigError
from trainer.ui import share
from trainer.ui.studio import words_for


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConfigError("seed: too large"), "seed: too large"),
        (gr.Error("You have used up your GPU time"), "You have used up your GPU time"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "Out of memory. Fewer or smaller pictures"),
        (OSError(errno.ENOSPC, "No space left on device", "/secret/place"), "The disk is full"),
        (KeyError("/secret/place"), "Something failed that should not have (KeyError)"),
    ],
)
def test_a_page_is_told_of_any_error_and_of_no_place(error: Exception, words: str) -> None:
    assert words_for(error).startswith(words)
    assert "/secret" not in words_for(error)


def test_a_token_is_taken_out_of_the_session() -> None:
    """Gradio writes what was sent into the session's copy of the component, and keeps that for an hour."""
    with gr.Blocks() as blocks:
        box = gr.Textbox("", type="password")
    App.create_app(blocks)
    session = blocks.state_holder["one"]
    session._update_value_in_config(box._id, "hf_secret")
    assert "hf_secret" in str(session.config_values)
    before = LocalContext.blocks.set(blocks)
    try:
        share.forget(box, gr.Request(session_hash="one"))
    finally:
        LocalContext.blocks.reset(before)
    assert "hf_secret" not in str(session.config_values)
