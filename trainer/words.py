"""Read the text in a photo, with rapidocr: its models come in its wheel, nothing is downloaded.

It takes 2 to 3 seconds a photo on one core, and is a pass of its own. On 42 real photos what it read with little
certainty, or of one or two letters, was nothing (a nose "O"); the rest was a maker's label, a tag, a sign.
"""

import os
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

MIN_SCORE = 0.8
MIN_LETTERS = 3
MAX_WORDS, MAX_LENGTH = 20, 60  # of a page of text nobody needs more

_SIDE = 1024  # px; smaller writing the concept does not learn
_engine_lock = Lock()  # the engine keeps what it works on in itself


def read_words(image: Image.Image) -> tuple[str, ...]:
    """The lines of text in an upright RGB picture, from the top down; empty where there is none."""
    small = image.copy()
    small.thumbnail((_SIDE, _SIDE))
    with _engine_lock:
        found = _engine()(np.asarray(small)[:, :, ::-1].copy())  # as OpenCV has it: blue first
    lines = zip(found.txts or (), found.scores or (), strict=True)
    kept = [" ".join(text.split())[:MAX_LENGTH] for text, score in lines if score >= MIN_SCORE]
    return tuple(text for text in kept if sum(map(str.isalnum, text)) >= MIN_LETTERS)[:MAX_WORDS]


@cache
def _engine() -> Any:
    from rapidocr import RapidOCR  # not at import: seconds, and most pages never need it

    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))  # a training beside it keeps its cores
    return RapidOCR(
        params={"Global.log_level": "error", "EngineConfig.onnxruntime.intra_op_num_threads": threads}
    )
