"""The word that will stand for a subject: does the base know it already, how is it read, which are empty.

A good identifier means nothing to the base. What is said here comes from how the base's own tokenizer splits the word
and from how often people write it (wordfreq's list of English, which has names and abbreviations too). The proof is
what the base paints for it: `painted`.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from trainer.config import GenerationConfig
from trainer.errors import ConfigError, ModelError
from trainer.verdicts import Finding, Verdict

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

MAX_LETTERS = 32
MANY_PIECES = 5  # more to learn, and none of it together

# Zipf scale: 10-based logarithm of how often a word comes in a billion. "dog" 5.1, "pikachu" 3.2, "sks" 2.3 (a rifle,
# which Stable Diffusion paints), "ohwx" 0.
USUAL, SELDOM = 3.0, 1.5
# Byte-pair vocabularies are in the order of merging, the frequent first: from here on tokens are rare.
# CLIP: from 39,500 of 49,408.
RARE_FROM = 0.8
_A_WORD = 3  # letters, from which on a piece of its own may mean something

_CONSONANTS = "bcdfghjklmnpqrstvwxz"
_ALLOWED = re.compile(r"[\w<>-]+")

# Of the change that another seed makes; between two pictures of one noun that is all the change there is.
LITTLE, MUCH = 1 / 3, 2 / 3


@dataclass(frozen=True)
class IdentifierReport:
    """What is to be said of an identifier. "refused" cannot be used, a "warning" was seen before by the base."""

    identifier: str
    verdict: Verdict
    pieces: tuple[str, ...]  # as the base's tokenizer splits it
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not "ok"."""
        return tuple(finding.text for finding in self.findings)


@dataclass(frozen=True)
class Painted:
    """What the base makes of an identifier before any training; picture i of each row has the same seed."""

    bare: tuple[Image.Image, ...]  # of the identifier alone
    named: tuple[Image.Image, ...]  # of "a photo of IDENTIFIER CLASS"
    plain: tuple[Image.Image, ...]  # of "a photo of CLASS"
    change: float | None  # from plain to named, over the change from seed to seed; None with a single seed
    sentence: str


def load_tokenizer(base: str, revision: str | None = None) -> Any:
    """The tokenizer of a base model, by folder or Hub id; nothing else of it is loaded. Raises ModelError."""
    from transformers import CLIPTokenizer  # not at import: it takes a while

    try:
        tokenizer = CLIPTokenizer.from_pretrained(base, subfolder="tokenizer", revision=revision)
    except (OSError, ValueError) as error:
        raise ModelError(f"{base}: no such model here or on the Hub: choose another base") from error
    if "a</w>" not in tokenizer.get_vocab():  # where it finds no files, transformers makes an empty one
        raise ModelError(f"{base}: no such model, or one without a tokenizer: choose another base")
    return tokenizer


def check_identifier(identifier: str, tokenizer: Any, class_noun: str = "") -> IdentifierReport:
    """The verdict on a word as the identifier of a subject of `class_noun`, on the base of this tokenizer."""
    refusal = _refusal(identifier, class_noun)
    if refusal:
        shown = re.sub(r"[^\w<> -]", "_", identifier)[:MAX_LETTERS]
        return IdentifierReport(shown, "refused", (), (Finding("identifier:unusable", refusal),), ())
    tokens = tokenizer.tokenize(identifier)
    pieces = tuple(str(tokenizer.decode([id]).strip()) for id in tokenizer.convert_tokens_to_ids(tokens))
    notes = [_split(pieces)]
    if identifier != identifier.lower():
        notes.append("the base reads it in lower case")
    if all(len(piece) < _A_WORD for piece in pieces) and zipf(identifier) >= USUAL:
        notes.append("people use this word, but this base has never learnt it")
    findings = _known(identifier.lower(), pieces, tokens, tokenizer)
    if len(pieces) > MANY_PIECES:
        text = f"falls into {len(pieces)} pieces: a short one of 3 or 4 letters is learnt better"
        findings.append(Finding("identifier:long", text))
    return IdentifierReport(
        identifier, "warning" if findings else "ok", pieces, tuple(findings), tuple(notes)
    )


def _refusal(identifier: str, class_noun: str) -> str:
    if not identifier.strip():
        return "no identifier: give a word that means nothing yet, such as ohwx"
    if len(identifier) > MAX_LETTERS:
        return f"{len(identifier)} characters, at most {MAX_LETTERS}: a short one is learnt better"
    if not _ALLOWED.fullmatch(identifier):
        return "one word of letters and digits, without spaces: the class noun comes after it by itself"
    if identifier.lower() in class_noun.lower().split():
        return "the same word as the class noun: the concept could not be told from its class"
    return ""


def _split(pieces: Sequence[str]) -> str:
    shown = " + ".join(pieces)
    return f"read as {shown}" if len(pieces) > 1 else f"read as one piece, {shown}"


def _known(word: str, pieces: Sequence[str], tokens: Sequence[str], tokenizer: Any) -> list[Finding]:
    """What the base may think of when it reads the word."""
    if all(len(piece) < _A_WORD for piece in pieces):
        return []  # letters: it never was a word to this base
    if len(pieces) > 1:
        usual = [piece for piece in pieces if len(piece) >= _A_WORD and zipf(piece) >= USUAL]
        if usual:
            text = f"holds \u201c{usual[0]}\u201d, which the base knows: it would come through"
            return [Finding("identifier:holds", text)]
    often = zipf(word)
    if often >= USUAL:
        text = "a word or a name that people use: the base has a picture of its own for it"
        return [Finding("identifier:word", text)]
    if often >= SELDOM:
        text = "seldom written, but it stands for something (an abbreviation, a name): look at what the base paints"
        return [Finding("identifier:known", text)]
    if len(pieces) == 1 and tokenizer.convert_tokens_to_ids(tokens[0]) < RARE_FROM * len(tokenizer):
        text = "the base has read it often enough to know it whole: look at what it paints"
        return [Finding("identifier:token", text)]
    return []


def zipf(word: str) -> float:
    """How often people write a word, on the Zipf scale: 0 never, 3 now and then, 5 all the time."""
    from wordfreq import zipf_frequency  # not at import: it reads its list

    return float(zipf_frequency(word, "en", wordlist="large"))


def suggestions(tokenizer: Any, count: int = 5, *, seed: int = 0) -> list[str]:
    """Identifiers that pass `check_identifier`, the same for the same seed.

    Rare tokens that the vocabulary has whole, such as "ohwx" in CLIP's; where it has none (a small vocabulary that
    takes unknown words letter by letter), consonants that nobody writes.
    """
    rng = random.Random(seed)
    rare = list(_rare_tokens(tokenizer))
    rng.shuffle(rare)
    found: list[str] = []
    while len(found) < count:
        word = rare.pop() if rare else "".join(rng.choice(_CONSONANTS) for _ in range(3))
        if word not in found and zipf(word) == 0 and check_identifier(word, tokenizer).verdict == "ok":
            found.append(word)
    return found


@cache
def _rare_tokens(tokenizer: Any) -> tuple[str, ...]:
    """Rare whole words of three or four consonants: those with vowels are mostly ends of words."""
    start = RARE_FROM * len(tokenizer)
    words = (
        token.removesuffix("</w>") for token, id in tokenizer.get_vocab().items() if _whole(token, id, start)
    )
    return tuple(sorted(word for word in words if re.fullmatch(f"(?!(.)\\1*$)[{_CONSONANTS}]{{3,4}}", word)))


def _whole(token: str, id: int, start: float) -> bool:
    return id >= start and token.endswith("</w>")


def painted(
    base: "str | StableDiffusionPipeline",
    identifier: str,
    class_noun: str,
    *,
    num_samples: int = 3,
    seed: int = 0,
    num_inference_steps: int = 20,
    on_step: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Painted:
    """What a base (loaded, or by folder or Hub id) paints for the identifier, alone and before its class noun.

    `on_step(done, total)` counts the steps of all three rows. Once `should_stop()` is true, rows may be short or empty.
    Raises ModelError and ConceptError as `generation.load_concept`, ConfigError for a noun that is none.
    """
    from trainer import generation  # not at import: torch takes seconds, and the check of a word should not

    noun = class_noun.strip()
    if not noun:
        raise ConfigError("class_noun: what the subject is, such as dog")
    pipeline = generation.load_concept(base) if isinstance(base, str) else base
    prompts = [identifier, f"a photo of {identifier} {noun}", f"a photo of {noun}"]
    rows = []
    for index, prompt in enumerate(prompts):
        config = GenerationConfig(
            concept="base",
            prompt=prompt,
            num_samples=num_samples,
            seed=seed,
            num_inference_steps=num_inference_steps,
        )

        def count(done: int, total: int, row: int = index) -> None:
            if on_step:
                on_step(row * total + done, len(prompts) * total)

        rows.append(tuple(generation.generate(pipeline, config, on_step=count, should_stop=should_stop)))
    bare, named, plain = rows
    change = change_by(named, plain)
    return Painted(bare, named, plain, change, _sentence(identifier, noun, change))


def change_by(named: Sequence[Image.Image], plain: Sequence[Image.Image]) -> float | None:
    """Mean change of a pixel from plain to named at the same seeds, over that between plain ones of two seeds."""
    before = [np.asarray(image, dtype=np.float32) for image in plain]
    after = [np.asarray(image, dtype=np.float32) for image in named]
    between = [
        float(np.abs(one - other).mean()) for index, one in enumerate(before) for other in before[:index]
    ]
    if not between or len(after) != len(before) or not np.mean(between):
        return None
    same = [float(np.abs(one - other).mean()) for one, other in zip(after, before, strict=True)]
    return float(np.mean(same) / np.mean(between))


def _sentence(identifier: str, noun: str, change: float | None) -> str:
    if change is None:
        return f"Too few pictures to say what \u201c{identifier}\u201d does: look at them."
    lead = f"\u201c{identifier}\u201d changes the base's pictures of \u201c{noun}\u201d by {change:.0%} of what another seed changes"
    if change < LITTLE:
        return f"{lead}: it means next to nothing to the base, as it should."
    if change < MUCH:
        return f"{lead}: look whether the pictures of the bare word show one thing again and again; if so, take another."
    return f"{lead}: the word has a strong effect of its own; take another unless the pictures look harmless."
