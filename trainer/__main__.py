"""`python -m trainer train | generate | evaluate | check | push`, and the same under `accelerate launch -m trainer`."""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, Self

from tqdm import tqdm

from trainer import concept, flags
from trainer.config import advice, check_instance_data, generation_config, training_config
from trainer.errors import ConfigError, HubError, RepositoryExistsError, TrainerError
from trainer.fields import did_you_mean

USAGE = """usage: python -m trainer train|generate|evaluate|choose|check|push ...

  train      teach the base model a subject from a handful of photos
  generate   draw images of a concept
  evaluate   how well a concept knows its subject, and still listens
  choose     another checkpoint as the concept than the one judged best
  check      one verdict for each photo of a folder
  push       put a finished concept on the Hugging Face Hub

python -m trainer train --help lists the settings."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. 0: done; 1: it failed, or a photo is refused; 2: a setting is wrong; 128 + n: signal n."""
    words = sys.argv[1:] if argv is None else list(argv)
    if not words or words[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if words else 2
    # transformers would say at every start that torchvision, which nothing here needs, is missing; bitsandbytes that
    # kernels for 4 bits, which nothing here uses, are; xformers, in seven lines, that there is no GPU, which
    # trainer.models says in one
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    for name in ("bitsandbytes", "xformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    commands: dict[str, Callable[[Sequence[str]], int]] = {
        "train": train,
        "generate": generate,
        "evaluate": evaluate,
        "choose": choose,
        "check": check,
        "push": push,
    }
    try:
        if words[0] not in commands:
            near = did_you_mean(words[0], list(commands))
            raise ConfigError(f"{words[0]!r} is no command{near}\n{USAGE}")
        return commands[words[0]](words[1:])
    except TrainerError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def train(argv: Sequence[str]) -> int:
    """Trains, shows the progress, says where the concept is."""
    arguments = vars(flags.train_parser().parse(argv))
    config = training_config(**flags.training_values(arguments, os.environ))
    check_instance_data(config)
    is_main_process = os.environ.get("RANK", "0") == "0"  # set by accelerate launch
    if is_main_process:
        for sentence in advice(config):
            print(f"note: {sentence}", file=sys.stderr)

    from trainer import loop  # here, not above: torch takes seconds, and --help should not

    with stop_on_signals() as stopped_by, Progress() as progress:
        directory = loop.train(config, on_event=progress, should_stop=lambda: bool(stopped_by()))
    number = stopped_by()
    if number and not progress.finished:
        if is_main_process:
            print(
                f"stopped early in {directory}; the same command with --resume_from_checkpoint latest goes on"
            )
        return 128 + number
    if is_main_process:
        if progress.verdict:
            print(progress.verdict)
        print(f"the concept is in {directory}")
    return 0


def generate(argv: Sequence[str]) -> int:
    """Draws images of a concept and prints their paths."""
    config = generation_config(**vars(flags.generate_parser().parse(argv)))

    from trainer import generation  # here, not above: torch takes seconds, and --help should not

    pipeline = generation.load_concept(Path(config.concept))
    with tqdm(unit="step", dynamic_ncols=True, disable=None, leave=False) as bar:

        def on_step(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        images = generation.generate(pipeline, config, on_step=on_step)
    for path in generation.save_images(images, config, Path(config.output_dir)):
        print(path)
    return 0


def evaluate(argv: Sequence[str]) -> int:
    """Prints a concept's figures beside its base's."""
    arguments = flags.evaluate_parser().parse(argv)

    from trainer import evaluation, exam  # here, not above: torch takes seconds, and --help should not

    settings = evaluation.load_settings(arguments.concept)
    encoder = arguments.evaluation_encoder or exam.encoder_of(settings)
    if encoder is None:
        raise ConfigError("--evaluation_encoder: required: this base has no CLIP of its own to compare with")
    judge = evaluation.load_judge(encoder, arguments.subject_encoder or exam.subject_encoder_of(settings))
    with tqdm(unit="prompt", dynamic_ncols=True, disable=None, leave=False) as bar:

        def on_step(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        found, _ = evaluation.evaluate_concept(
            arguments.concept,
            judge,
            num_samples=arguments.num_samples,
            seed=arguments.seed,
            guidance_scale=arguments.guidance_scale,
            on_step=on_step,
        )
    print(json.dumps(asdict(found), indent=1) if arguments.json else "\n".join(found.lines()))
    return 0


def choose(argv: Sequence[str]) -> int:
    """Makes another checkpoint the concept, and says what its figures were."""
    arguments = flags.choose_parser().parse(argv)

    from trainer import choice  # here, not above: torch takes seconds, and --help should not
    from trainer.choose import choose as take

    take(arguments.concept, arguments.step)
    report = choice.read(arguments.concept)
    print(report.verdict if report else f"Step {arguments.step} is the concept now.")
    return 0


def check(argv: Sequence[str]) -> int:
    """Prints one verdict a photo and one for the set; 1 where any of them is refused."""
    arguments = flags.check_parser().parse(argv)
    resolution = flags.resolution(arguments.resolution)

    from trainer import photos  # here, not above: Pillow and numpy take a while, and --help should not

    with tqdm(unit="photo", dynamic_ncols=True, disable=None, leave=False) as bar:

        def on_photo(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        report = photos.check(
            arguments.directory, resolution, arguments.kind, words=arguments.words, on_photo=on_photo
        )
    if arguments.json:
        print(json.dumps(report.as_dict(), ensure_ascii=False, indent=2))
    else:
        for photo in report.photos:
            reasons = "; ".join(photo.reasons + photo.notes)
            print(f"{photo.verdict:8} {photo.name}" + (f": {reasons}" if reasons else ""))
        print(f"\n{report.distinct} distinct photos. {report.summary}")
        for note in report.notes:
            print(note)
    return int(report.gate == "blocked")


def push(argv: Sequence[str]) -> int:
    """Pushes a concept to the Hub, with pictures for its card, and prints its address."""
    arguments = flags.push_parser().parse(argv)

    from huggingface_hub import get_token  # here, not above: --help need not wait for it

    from trainer import bundle, hub

    hub.check_repo_id(arguments.repo_id)
    token = hub.checked_token(get_token() or "")
    with stop_on_signals() as stopped_by, tqdm(dynamic_ncols=True, disable=None, leave=False) as bar:

        def show(phase: str, done: int, total: int) -> None:
            bar.total = total or None
            bar.set_description(phase, refresh=False)
            bar.update(done - bar.n)

        def should_stop() -> bool:
            return bool(stopped_by())

        if concept.has_weights(arguments.concept) and not bundle.has_current_pictures(arguments.concept):
            from trainer import showcase  # here, not above: torch takes seconds

            showcase.paint(
                arguments.concept,
                on_step=lambda done, total: show("pictures", done, total),
                should_stop=should_stop,
            )
        try:
            pushed = hub.push(
                arguments.concept,
                arguments.repo_id,
                token,
                private=not arguments.public,
                include_photos=arguments.include_photos,
                overwrite=arguments.overwrite,
                on_progress=show,
                should_stop=should_stop,
            )
        except RepositoryExistsError as error:
            raise TrainerError(f"{error} --overwrite does it.") from None
        except HubError as error:
            if not stopped_by():
                raise
            print(error, file=sys.stderr)
            return 128 + stopped_by()
    print(pushed.url)
    return 0


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], int]]:
    """A function giving 0, or the number of the signal (SIGINT, SIGTERM) that asks to stop. A second one kills."""
    received: list[int] = []

    def note(number: int, _frame: object) -> None:
        received.append(number)
        for each in previous:
            signal.signal(each, signal.SIG_DFL)
        os.write(2, b"\nstopping after this step; once more to kill\n")  # print() must not be entered twice

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received[0] if received else 0
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Progress:
    """Shows a run's events on stderr: a bar with the time left, the rate and the loss, and a line for each file."""

    def __init__(self) -> None:
        self.finished = False
        self.verdict = ""  # which checkpoint was kept, and why, where they were judged
        self._phase = ""
        self._bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __call__(self, event: dict[str, Any]) -> None:
        match event:
            case {
                "event": "step",
                "step": step,
                "total": total,
                "loss": loss,
                "learning_rate": learning_rate,
            }:
                bar = self._show("train", step, total)
                bar.set_postfix(loss=f"{loss:.3g}", learning_rate=f"{learning_rate:.3g}")
            case {"event": "phase", "phase": phase, "total": total}:
                self._show(phase, event.get("done", event.get("step", 0)), total)
            case {"event": "phase", "phase": phase}:
                self._close()
                self._say(phase)
            case {"event": "sample" | "checkpoint" as kind, "path": path}:
                self._say(f"{kind}: {path}")
            case {"event": "evaluation", "step": step, "balance": balance}:
                self._say(f"judged at step {step}: balance {balance:.2f}")
            case {"event": "log", "message": message}:
                self._say(message)
            case {"event": "finished"}:
                self.finished = not event.get("stopped", False)
                self.verdict = event.get("verdict", "")

    def _show(self, phase: str, done: int, total: int) -> "tqdm[NoReturn]":
        """Move the phase's bar. A new one starts where it stands, so that a resumed run's rate counts its own steps."""
        if self._bar is None or self._phase != phase:
            self._close()
            wait = 0.1 if sys.stderr.isatty() else 10  # seconds; a log file wants few lines
            self._bar = tqdm(initial=done, total=total, desc=phase, dynamic_ncols=True, mininterval=wait)
            self._phase = phase
        self._bar.update(done - self._bar.n)
        return self._bar

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _say(self, text: str) -> None:
        tqdm.write(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
