"""Identifiers: words and known tokens are told, empty ones pass, and the base's own pictures are shown."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers import CLIPTokenizer

from trainer.errors import ConfigError, ModelError
from trainer.generation import load_concept
from trainer.identifier import change_by, check_identifier, load_tokenizer, painted, suggestions

TOYBOX = Path(__file__).parents[1] / "examples" / "toybox"
FREQUENT = ("dog", "teddy", "sks", "pikachu", "qwzx")
RARE = ("zqwx", "ohwx", "bwfc", "zzzz", "nlwx", "kprs")


def large_vocabulary() -> CLIPTokenizer:
    """Byte-pair merges as CLIP's: words in the order of how frequent they are, with fillers between."""
    alphabet = [chr(code) for code in (*range(33, 127), *range(161, 173), *range(174, 256))]
    alphabet += [chr(256 + index) for index in range(256 - len(alphabet))]
    signs = "0123456789!#$%&*+=?@"
    fillers = [(one, other) for one in signs for other in signs]
    merges = [*merges_of(FREQUENT), *fillers, *merges_of(RARE)]
    words = [*alphabet, *(letter + "</w>" for letter in alphabet), *("".join(merge) for merge in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=77)


def merges_of(words: tuple[str, ...]) -> list[tuple[str, str]]:
    """Each word put together from the left, letter by letter."""
    return [
        (word[:end], word[end] + ("</w>" if end == len(word) - 1 else ""))
        for word in words
        for end in range(1, len(word))
    ]


@pytest.fixture(scope="module")
def large() -> CLIPTokenizer:
    return large_vocabulary()


@pytest.fixture(scope="module")
def toybox() -> Any:
    return load_tokenizer(str(TOYBOX))


@pytest.mark.parametrize(
    ("word", "verdict", "text"),
    [
        ("ohwx", "ok", ""),
        ("dog", "warning", "a word or a name that people use: the base has a picture of its own for it"),
        ("pikachu", "warning", "a word or a name that people use"),
        ("sks", "warning", "seldom written, but it stands for something"),
        ("qwzx", "warning", "the base has read it often enough to know it whole"),
        ("mydog", "warning", "holds \u201cdog\u201d, which the base knows: it would come through"),
        ("<dog>", "warning", "holds \u201cdog\u201d"),
        ("qjvkbnr", "warning", "falls into 7 pieces: a short one of 3 or 4 letters is learnt better"),
        ("", "refused", "no identifier: give a word that means nothing yet, such as ohwx"),
        ("two words", "refused", "one word of letters and digits, without spaces"),
        ("<script>alert(1)</script>", "refused", "one word of letters and digits"),
        ("a\u202eb", "refused", "one word of letters and digits"),
        ("x" * 100_000, "refused", "100000 characters, at most 32"),
        ("Bear", "refused", "the same word as the class noun"),
    ],
)
def test_verdicts_on_a_large_vocabulary(large: CLIPTokenizer, word: str, verdict: str, text: str) -> None:
    report = check_identifier(word, large, "teddy bear")
    assert report.verdict == verdict
    assert "; ".join(report.reasons).startswith(text)
    assert len(report.identifier) <= 32
    assert not set(report.identifier) & set("()/\u202e\0")


def test_how_a_word_is_split_is_said(large: CLIPTokenizer) -> None:
    assert check_identifier("ohwx", large).notes == ("read as one piece, ohwx",)
    split = check_identifier("MyDog", large)
    assert split.pieces == ("m", "y", "dog")
    assert split.notes == ("read as m + y + dog", "the base reads it in lower case")


def test_a_small_vocabulary_takes_unknown_words_by_letters(toybox: Any) -> None:
    report = check_identifier("sks", toybox, "teddy bear")
    assert (report.verdict, report.notes) == ("ok", ("read as s + k + s",))
    assert check_identifier("guitar", toybox).verdict == "warning"
    strange = check_identifier("cow", toybox)
    assert (strange.verdict, strange.notes[-1]) == (
        "ok",
        "people use this word, but this base has never learnt it",
    )


def test_suggestions_pass_and_are_the_same_for_the_same_seed(large: CLIPTokenizer, toybox: Any) -> None:
    assert set(suggestions(large, 4)) == {"zqwx", "bwfc", "nlwx", "kprs"}
    for tokenizer in (large, toybox):
        found = suggestions(tokenizer, 6, seed=3)
        assert found == suggestions(tokenizer, 6, seed=3)
        assert len(set(found)) == 6
        assert {check_identifier(word, tokenizer).verdict for word in found} == {"ok"}
    assert suggestions(toybox, 6, seed=3) != suggestions(toybox, 6, seed=4)


def test_a_base_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    for base in (str(tmp_path), "nobody/nothing"):
        with pytest.raises(ModelError, match=r"^\S+: no such model.*: choose another base$"):
            load_tokenizer(base)


def test_painted_shows_three_rows_at_the_same_seeds(sd1: Path) -> None:
    pipeline = load_concept(sd1)
    steps: list[tuple[int, int]] = []
    found = painted(
        pipeline,
        "qqq",
        "dog",
        num_samples=2,
        seed=5,
        num_inference_steps=3,
        on_step=lambda done, total: steps.append((done, total)),
    )
    assert [len(row) for row in (found.bare, found.named, found.plain)] == [2, 2, 2]
    assert steps[-1] == (9, 9)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    again = painted(str(sd1), "xyz", "dog", num_samples=2, seed=5, num_inference_steps=3)
    assert [np.asarray(image).tolist() for image in again.plain] == [
        np.asarray(image).tolist() for image in found.plain
    ]
    assert np.asarray(again.named[0]).tolist() != np.asarray(found.named[0]).tolist()
    assert found.change is not None
    assert found.sentence.startswith(
        f"\u201cqqq\u201d changes the base's pictures of \u201cdog\u201d by {found.change:.0%} of what another seed changes"
    )
    one = painted(pipeline, "qqq", "dog", num_samples=1, num_inference_steps=1)
    assert (one.change, one.sentence[:28]) == (None, "Too few pictures to say what")
    assert painted(pipeline, "qqq", "dog", should_stop=lambda: True).named == ()
    with pytest.raises(ConfigError, match="class_noun: what the subject is, such as dog"):
        painted(pipeline, "qqq", " ")


def test_change_by_hand() -> None:
    def grey(*values: int) -> list[Image.Image]:
        return [Image.new("RGB", (4, 4), (value,) * 3) for value in values]

    assert change_by(grey(10, 60), grey(0, 50)) == pytest.approx(0.2)
    assert change_by(grey(0, 50), grey(0, 50)) == 0
    assert change_by(grey(0, 0), grey(0, 0)) is None
    assert change_by(grey(0), grey(1)) is None
