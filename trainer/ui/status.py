"""How a training looks on the page: what is trained, how far it is, its loss, previews, class images and log."""

from functools import lru_cache
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import ImageOps

from trainer import photos
from trainer.snapshots import PHASES, Snapshot
from trainer.ui import draft
from trainer.ui.draft import PHOTOS
from trainer.ui.theme import empty, notice, picture, progress, time_left
from trainer.workspace import read_title

STATES = {
    "new": "Not trained yet",
    "queued": "Waiting",
    "running": "Training",
    "stopping": "Stopping",
    "stopped": "Stopped",
    "finished": "Finished",
    "failed": "Failed",
    "interrupted": "Interrupted",
}
CLASS_SIDE = 128  # px of a class image on the page; there are hundreds
SMOOTHING = 0.9  # of a loss, whose single steps say nothing
PLOT = (640, 200)
MAX_POINTS = 300


def subject_html(folder: Path) -> str:
    """What is about to be trained."""
    said = draft.read(folder)
    count = len(photos.list_photos(folder / PHOTOS)) if (folder / PHOTOS).is_dir() else 0
    prompt = said.instance_prompt if said.identifier else "no identifier yet"
    return (
        f'<div class="subject"><h3>{escape(read_title(folder))}</h3><p>{count} photos, known as'
        f" <strong>{escape(prompt)}</strong></p></div>"
    )


def ready_html(folder: Path) -> str:
    """A concept that was not trained yet."""
    shown = []
    if (folder / PHOTOS).is_dir():
        shown = [
            picture(_small(path, path.stat().st_mtime_ns), "")
            for path in photos.list_photos(folder / PHOTOS)[:5]
        ]
    return empty("Ready to learn", "Press Start. Previews appear here as it learns.", shown)


@lru_cache(maxsize=512)
def _small(path: Path, version: int, side: int = 256) -> bytes:
    stream = BytesIO()
    ImageOps.fit(photos.open_photo(path), (side, side)).save(stream, "JPEG", quality=82)
    return stream.getvalue()


def status_html(now: Snapshot) -> str:
    """State, progress and figures, and the loss."""
    kind = {"failed": "error", "interrupted": "warning", "finished": "good"}.get(now.state, "info")
    bar = ""
    if now.state in ("running", "stopping"):
        label = PHASES.get(now.phase or "load", "Training")
        if now.total:
            left = time_left(now.eta_seconds) if now.eta_seconds is not None else ""
            bar = progress(
                label, now.step, now.total, f"{now.step} of {now.total}" + (f", {left}" if left else "")
            )
        else:
            bar = progress(label, 0, 0, "a moment")
    figures = [
        ("Step", f"{now.step:,}" + (f" of {now.total:,}" if now.total else "")),
        ("Pace", f"{now.steps_per_second:.2f} it/s" if now.steps_per_second else "-"),
        ("Memory", f"{now.memory / 1e9:.1f} GB" if now.memory else "-"),
        ("Loss", f"{smoothed(now.losses)[-1][1]:.4f}" if now.losses else "-"),
    ]
    facts = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures)
    changes = "".join(notice(f"Out of memory, so {change}.", "info") for change in now.changes)
    said = notice(now.message, kind) if now.message and not bar else ""
    return (
        f'<section class="job {now.state}"><h2>{STATES[now.state]}</h2>{said}{bar}{changes}'
        f'<dl class="figures">{facts}</dl>{plot(now.losses, now.total)}</section>'
    )


def smoothed(losses: tuple[tuple[int, float], ...]) -> list[tuple[int, float]]:
    """Exponential mean, unbiased at the start."""
    mean, weight, found = 0.0, 0.0, []
    for step, loss in losses:
        mean, weight = SMOOTHING * mean + (1 - SMOOTHING) * loss, SMOOTHING * weight + 1 - SMOOTHING
        found.append((step, mean / weight))
    return found


def plot(losses: tuple[tuple[int, float], ...], total: int | None) -> str:
    """The loss, raw and smoothed, as a drawing of a few kilobytes."""
    if len(losses) < 2:
        return ""
    keep = max(1, len(losses) // MAX_POINTS)
    raw, smooth = losses[::keep], smoothed(losses)[::keep]
    width, height = PLOT
    last, top = max(total or 0, raw[-1][0]), max(loss for _, loss in raw) or 1.0

    def points(series: Any) -> str:
        return " ".join(f"{width * step / last:.1f},{height * (1 - loss / top):.1f}" for step, loss in series)

    return (
        f'<figure class="plot"><svg viewBox="0 -4 {width} {height + 8}" preserveAspectRatio="none" role="img"'
        f' aria-label="Loss by step; now {smooth[-1][1]:.4f}"><polyline class="raw" points="{points(raw)}"/>'
        f'<polyline class="smooth" points="{points(smooth)}"/></svg>'
        f"<figcaption><span>loss, smoothed over about ten reports; top {top:.3f}</span><span>step {last:,}</span></figcaption></figure>"
    )


def previews_html(now: Snapshot) -> str:
    """Fixed prompts and seeds, by step."""
    if not now.previews:
        return ""
    by_step: dict[int, list[Path]] = {}
    for step, path in now.previews:
        by_step.setdefault(step, []).append(path)
    rows = "".join(
        f"<figure><div>{''.join(_preview(path, step) for path in paths)}</div><figcaption>step {step:,}</figcaption></figure>"
        for step, paths in sorted(by_step.items())
    )
    return f'<section class="previews"><h3>As it learns</h3><div class="rows">{rows}</div></section>'


def _preview(path: Path, step: int) -> str:
    if not path.is_file():
        return ""
    return picture(_small(path, path.stat().st_mtime_ns), f"preview at step {step}")


def class_images_html(found: list[Path]) -> str:
    """A button for each; the next start makes another in the place of one that was taken out."""
    said = f"{len(found)} pictures of the class, painted by the base. Press one to take it out; the next start paints another."
    images = "".join(
        f'<button type="button" data-do="cull" data-which="{escape(path.name)}" aria-label="take out picture {number}">'
        f"{picture(_small(path, path.stat().st_mtime_ns, CLASS_SIDE), '')}</button>"
        for number, path in enumerate(found, 1)
    )
    return f'<p>{escape(said)}</p><div class="class-images">{images}</div>'


def log_html(now: Snapshot) -> str:
    """The last lines."""
    if not now.log:
        return ""
    lines = "\n".join(now.log[-60:])
    return f'<details class="log"><summary>Log</summary><pre tabindex="0">{escape(lines)}</pre></details>'
