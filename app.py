"""The studio: python app.py opens it in the browser, on one's own machine or on a Space."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import gradio as gr
from starlette.middleware import Middleware

from trainer.errors import TrainerError
from trainer.jobs import Jobs
from trainer.ui import access, catalogue, painting, theme
from trainer.ui.dataset import Dataset
from trainer.ui.generate import Generate
from trainer.ui.share import Share
from trainer.ui.studio import NEW, NEW_TITLE, Studio
from trainer.ui.train import Train
from trainer.workspace import Workspace, read_title

HERE = Path(__file__).parent
UPLOAD_LIMIT = "100mb"  # a file
KEEP_SECONDS = 24 * 3600  # uploads and pictures that no page shows any more
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
LAST = QUIET | {"trigger_mode": "always_last"}  # what comes during an answer is answered next, not lost
# gradio gives a handler what its js returns; whoever says no sends false
ASK = "(name, sure) => [name, confirm('Delete this concept, its photos and what it learnt?')]"


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line, build the page, serve it until stopped."""
    given = arguments().parse_args(argv)
    if given.login is not None and not all(given.login.partition(":")):
        print("--login takes NAME:PASSWORD, and neither may be empty", file=sys.stderr)
        return 2
    root = Path(given.root).resolve()
    os.chdir(HERE)  # the examples and the embedded base are named from here
    logging.getLogger("xformers").setLevel(logging.ERROR)
    try:
        shared = studio(given, root)
    except TrainerError as error:
        print(error, file=sys.stderr)
        return 1
    name, _, password = (given.login or "").partition(":")
    import_reloader()
    try:
        build(shared).queue(max_size=64, default_concurrency_limit=4).launch(
            server_name=given.host,
            server_port=given.port,
            share=given.share,
            auth=(name, password) if given.login else None,
            theme=theme.theme(),
            css=theme.css(),
            head=theme.HEAD,
            favicon_path=str(theme.MARK),
            app_kwargs={"middleware": [Middleware(access.NoDeepLinks), Middleware(access.VisitorCookie)]},
            footer_links=["api", "settings"],
            run_history=False,  # a token is typed on the Share tab
            max_file_size=UPLOAD_LIMIT,
            ssr_mode=False,
            show_error=True,
            enable_monitoring=False,
        )
    finally:
        shared.jobs.close()
    return 0


def import_reloader() -> None:
    """On a Space, have gradio's reloader imported before the server runs.

    As it is imported it looks at every object there is. Done in its own thread, beside the first request, that now and
    then ends the start: CPython fails where a tuple is looked at that is still being made (python/cpython#59313).
    """
    if os.environ.get("SYSTEM") == "spaces":  # gradio's own sign of a Space
        with suppress(ImportError):
            import_module("spaces.reloading.server")


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    space = "SPACE_ID" in os.environ
    parser = argparse.ArgumentParser(description="DreamBooth Studio in the browser.")
    parser.add_argument("--host", default="0.0.0.0" if space else "127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=None, help="first free one from 7860 on where not given")
    parser.add_argument(
        "--share", action="store_true", help="a public link; training is then off, or needs --login"
    )
    parser.add_argument(
        "--login", metavar="NAME:PASSWORD", help="ask for this login; whoever has it may train"
    )
    parser.add_argument("--root", default=str(HERE / "outputs/studio"), help="folder of the concepts")
    parser.add_argument("--base", default=None, help="base model: a folder, or a name on the Hub")
    return parser


def studio(given: argparse.Namespace, root: Path) -> Studio:
    """The app that the command line and the environment ask for. Raises ConceptError where `root` is in use."""
    gpu = on_gpu()
    who = access.from_surroundings(given.host, given.share, given.login, os.environ)
    base = given.base or (catalogue.STABLE_DIFFUSION if gpu else catalogue.TOYBOX)
    workspace = Workspace(root)

    def own(owner: str) -> list[tuple[Path, str]]:
        return [(folder, read_title(folder)) for folder in workspace.concepts(owner)]

    return Studio(who, catalogue.Catalogue(base, gpu, own), workspace, Jobs(root, painting.free))


def on_gpu() -> bool:
    """Whether there is a GPU, without importing torch, which takes seconds."""
    return access.on_zero_gpu() or Path("/dev/dxg").exists() or any(Path("/dev").glob("nvidia[0-9]*"))


def build(shared: Studio) -> gr.Blocks:
    """The page."""
    with gr.Blocks(
        title="DreamBooth Studio", delete_cache=(3600, KEEP_SECONDS), analytics_enabled=False
    ) as demo:
        with gr.Row(elem_classes="top"):
            gr.HTML(
                f'<header class="masthead">{theme.MARK.read_text()}<div><h1>DreamBooth Studio</h1>'
                "<p>Teach a picture model your teddy bear, then send it anywhere.</p></div></header>",
                padding=False,
            )
            if shared.access.login == "huggingface":
                gr.LoginButton("Sign in", size="md", min_width=160, scale=0, elem_id="sign-in")
            current = gr.Dropdown(
                [(NEW_TITLE, NEW)],
                value=NEW,
                label="Working on",
                visible=False,
                elem_id="current",
                filterable=False,
            )
        generate, dataset, train, share = Generate(shared), Dataset(shared), Train(shared), Share(shared)
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Generate", id="generate") as generating:
                generate.build()
            with gr.Tab("Dataset", id="dataset"):
                dataset.build(current)
            with gr.Tab("Train", id="train") as training:
                train.build(current)
            with gr.Tab("Share", id="share") as sharing:
                share.build(current)
        of_train = [train.why, *train.looked()]
        refill = train.fill, [train.kind, train.filled], train.filled_in()

        opening = demo.load(shared.newest, None, current, **QUIET)
        opening.then(dataset.open, current, dataset.shown(), **QUIET)
        handler, outputs = generate.on_load()
        demo.load(handler, None, outputs, **QUIET)
        current.input(dataset.show, current, dataset.shown(), cancels=dataset.looking, **LAST)
        # One event for each tab, however it comes about: the answers of two may arrive in either order, and the
        # older one would then stand.
        shown = gr.on(
            [current.change, training.select, dataset.kept.change], train.show, current, of_train, **LAST
        )
        shown.then(*refill, **QUIET)
        # the answer to what was pressed goes in the browser: an answer of the server's may come after the next press
        gr.on(
            [current.input, training.select],
            None,
            None,
            train.answer,
            js="() => ''",
            api_visibility="private",
        )
        gr.on([current.change, sharing.select], share.show, [current, share.seen], share.shown(), **LAST)
        generating.select(generate.choices, generate.concept, generate.concept, **QUIET)
        train.use.click(generate.take, current, [generate.concept, *generate.chosen()], **QUIET).then(
            lambda: gr.Tabs(selected="generate"), None, tabs, **QUIET
        )
        sure = gr.Checkbox(False, visible=False)
        # a press while a "no" is still on its way asks again
        asked = QUIET | {"trigger_mode": "multiple"}
        train.delete.click(train.remove, [current, sure], [current, train.answer], js=ASK, **asked).then(
            train.look, [current, train.seen], train.looked(), **QUIET
        ).then(dataset.show, current, dataset.shown(), **QUIET)
    return demo


if __name__ == "__main__":
    sys.exit(main())
