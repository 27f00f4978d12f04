"""Text is read with the models of the wheel, and the network is never asked."""

import subprocess
import sys
from pathlib import Path

from pictures import scene
from PIL import Image, ImageDraw, ImageFont

from trainer.words import read_words


def with_text(*lines: str) -> Image.Image:
    image = scene(1, (640, 480)).point(lambda value: 90 + value // 8)
    draw = ImageDraw.Draw(image)
    for index, line in enumerate(lines):
        draw.text((60, 60 + 120 * index), line, font=ImageFont.load_default(56), fill="white")
    return image


def test_text_is_read_from_the_top_down() -> None:
    assert read_words(with_text("SHUTTERSTOCK", "Herschel")) == ("SHUTTERSTOCK", "Herschel")


def test_a_picture_without_text_and_a_clock_face_have_none() -> None:
    assert read_words(scene(2, (400, 300))) == ()
    assert read_words(with_text("12", "9")) == ()  # one or two letters are seen in many things


def test_it_needs_no_network() -> None:
    script = (
        "import socket\n"
        "def refuse(*_): raise AssertionError('the network was asked')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from PIL import Image\n"
        "from trainer.words import read_words\n"
        "print(read_words(Image.new('RGB', (64, 64))))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    assert (run.stdout, run.returncode) == ("()\n", 0), run.stderr
