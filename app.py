"""The studio: python app.py opens it in the browser, on one's own machine or on a Space."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import gradio as gr
from starlette.middleware import Middleware

from trainer.ui import access, catalogue, theme
from trainer.ui.generate import Generate
from trainer.ui.studio import Studio

HERE = Path(__file__).parent
UPLOAD_LIMIT = "100mb"  # a file
KEEP_SECONDS = 24 * 3600  # uploads and pictures that no page shows any more


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, build the page, serve it until stopped."""
    given = arguments().parse_args(argv)
    os.chdir(HERE)  # the examples and the embedded base are named from here
    logging.getLogger("xformers").setLevel(logging.ERROR)
    demo = build(studio(given))
    name, _, password = (given.login or "").partition(":")
    demo.queue(max_size=64, default_concurrency_limit=4).launch(
        server_name=given.host,
        server_port=given.port,
        share=given.share,
        auth=(name, password) if given.login else None,
        theme=theme.theme(),
        css=theme.css(),
        head='<meta name="viewport" content="width=device-width, initial-scale=1">',
        favicon_path=str(theme.MARK),
        app_kwargs={"middleware": [Middleware(access.VisitorCookie)]},
        footer_links=["api", "settings"],
        run_history=False,  # a token is typed on the Share tab
        max_file_size=UPLOAD_LIMIT,
        ssr_mode=False,
        show_error=True,
        enable_monitoring=False,
    )


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
    parser.add_argument("--root", default="outputs/studio", help="folder of the concepts")
    parser.add_argument("--base", default=None, help="base model: a folder, or a name on the Hub")
    return parser


def studio(given: argparse.Namespace) -> Studio:
    """The app that the command line and the environment ask for."""
    gpu = on_gpu()
    who = access.from_surroundings(given.host, given.share, given.login, os.environ)
    base = given.base or (catalogue.STABLE_DIFFUSION if gpu else catalogue.TOYBOX)
    return Studio(who, catalogue.Catalogue(base, any_base=gpu))


def on_gpu() -> bool:
    """Whether there is a GPU, without importing torch, which takes seconds."""
    return access.on_zero_gpu() or Path("/dev/nvidia0").exists() or Path("/dev/dxg").exists()


def build(shared: Studio) -> gr.Blocks:
    """The page."""
    with gr.Blocks(
        title="DreamBooth Studio", delete_cache=(3600, KEEP_SECONDS), analytics_enabled=False
    ) as demo:
        gr.HTML(
            f'<header class="masthead">{theme.MARK.read_text()}<div><h1>DreamBooth Studio</h1>'
            "<p>Teach a picture model your teddy bear, then send it anywhere.</p></div></header>",
            padding=False,
        )
        with gr.Tabs(elem_id="tabs"), gr.Tab("Generate", id="generate"):
            generate = Generate(shared)
            generate.build()
        handler, outputs = generate.on_load()
        demo.load(handler, None, outputs, queue=False, show_progress="hidden", api_visibility="private")
    return demo


if __name__ == "__main__":
    sys.exit(main())
