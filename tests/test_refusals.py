"""Errors that no server answers with; the answers are in test_hub.py."""

import errno

import httpx2
import pytest

from trainer.refusals import is_passing, named


def caused_by(cause: Exception) -> Exception:
    """As huggingface_hub wraps what goes wrong with one file."""
    error = RuntimeError("Error while uploading 'unet/model.safetensors' to the Hub.")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "cause", "passing"),
    [
        (caused_by(httpx2.ReadError("gone")), "cut", True),
        (caused_by(httpx2.ConnectError("refused")), "unreachable", True),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full", False),
        (ValueError("Invalid metadata in README.md"), "unexpected", False),
    ],
)
def test_an_error_is_named_by_what_caused_it(error: Exception, cause: str, passing: bool) -> None:
    assert named(error, "me/bear", "https://hub.example").cause == cause
    assert is_passing(error) is passing


def test_an_unexpected_error_is_shown_in_one_short_line() -> None:
    message = named(ValueError("a\nb" * 500), "me/bear", "https://hub.example").message
    assert "\n" not in message
    assert len(message) < 300
