"""Colours, type and the few words of HTML that the tabs share. The colours are the example bear's own."""

import base64
from collections.abc import Iterable
from html import escape
from pathlib import Path

import gradio as gr
from gradio.themes.utils.colors import Color
from gradio.themes.utils.fonts import LocalFont

HERE = Path(__file__).parent
FONTS = {400: "fraunces-latin-400-normal.woff2", 600: "fraunces-latin-600-normal.woff2"}
MARK = HERE / "bear.svg"

TEAL = Color(
    "#eef7f5",
    "#d6ece8",
    "#b2dad4",
    "#83c3ba",
    "#55a69d",
    "#2f857d",
    "#1c6f68",
    "#175953",
    "#124641",
    "#0d3430",
    "#082421",
)
PAPER = Color(
    "#fffdf9",
    "#faf6ef",
    "#f1e9de",
    "#e3d8c9",
    "#c6b6a3",
    "#8f7d6c",
    "#6a5a4d",
    "#4b3e35",
    "#352b25",
    "#241d19",
    "#181310",
)
# gradio puts its own class before every rule of `css`, so that none of them reaches what lies around the tabs
HEAD = """<style>@media (max-width: 760px) {
.gradio-container.gradio-container { padding: 0 !important; }
.gradio-container .main.fillable { padding: 0 18px 40px !important; }
}</style>"""


def theme() -> gr.themes.Base:
    """Serif headings on warm paper; dark is a lamp-lit room, not a negative. Fonts are gradio's own: nothing is fetched."""
    look = gr.themes.Base(
        primary_hue=TEAL,
        secondary_hue=PAPER,
        neutral_hue=PAPER,
        text_size=gr.themes.sizes.text_md,
        spacing_size=gr.themes.sizes.spacing_lg,
        radius_size=gr.themes.sizes.radius_lg,
        font=[LocalFont("Source Sans Pro", weights=(400, 700)), "ui-sans-serif", "system-ui", "sans-serif"],
        font_mono=[LocalFont("IBM Plex Mono"), "ui-monospace", "monospace"],
    )
    look.set(
        body_background_fill="*neutral_100",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="*neutral_100",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="*neutral_50",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="*neutral_950",
        border_color_primary="*neutral_300",
        border_color_primary_dark="*neutral_800",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_border_width_dark="0px",
        block_shadow="none",
        block_padding="0px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_400",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="600",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        panel_background_fill="transparent",
        panel_background_fill_dark="transparent",
        panel_border_width="0px",
        panel_border_width_dark="0px",
        input_background_fill="*neutral_50",
        input_background_fill_dark="*neutral_900",
        input_border_color="*neutral_400",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_600",
        input_border_color_focus_dark="*primary_400",
        input_border_width="1px",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_500",
        input_shadow="none",
        input_shadow_focus="0 0 0 3px *primary_100",
        input_shadow_focus_dark="0 0 0 3px *primary_900",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_300",
        button_primary_background_fill_hover_dark="*primary_200",
        button_primary_text_color="*neutral_50",
        button_primary_text_color_dark="*primary_950",
        button_secondary_background_fill="transparent",
        button_secondary_background_fill_dark="transparent",
        button_secondary_background_fill_hover="*neutral_200",
        button_secondary_background_fill_hover_dark="*neutral_800",
        button_secondary_border_color="*neutral_400",
        button_secondary_border_color_dark="*neutral_700",
        button_secondary_text_color="*neutral_800",
        button_secondary_text_color_dark="*neutral_200",
        button_border_width="1px",
        slider_color="*primary_600",
        slider_color_dark="*primary_400",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
        checkbox_background_color_selected="*primary_600",
        checkbox_background_color_selected_dark="*primary_500",
        checkbox_border_color_selected="*primary_600",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_600",
    )
    return look


def css() -> str:
    """The style sheet with the headings' font in it. Of the serifs that gradio ships none has Latin letters."""
    faces = []
    for weight, name in FONTS.items():
        data = base64.b64encode((HERE / "fonts" / name).read_bytes()).decode()
        source = f"url(data:font/woff2;base64,{data}) format('woff2')"
        faces.append(f"@font-face {{ font-family: Fraunces; font-weight: {weight}; src: {source}; }}")
    return "\n".join([*faces, (HERE / "studio.css").read_text(encoding="utf-8")])


def picture(data: bytes, alt: str, kind: str = "jpeg", **attributes: str) -> str:
    """An <img> that carries its own bytes: no path of the server's is told, and nothing is left in a cache."""
    more = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
    return f'<img src="data:image/{kind};base64,{base64.b64encode(data).decode()}" alt="{escape(alt)}"{more}>'


def notice(text: str, kind: str = "warning", remedy: str = "") -> str:
    """A message in the page: what is wrong, and the way out. `kind`: warning, error, good or info."""
    role = "alert" if kind == "error" else "status"
    lines = "".join(f"<p>{escape(line)}</p>" for line in [*text.splitlines(), remedy] if line)
    return f'<div class="notice {kind}" role="{role}">{lines}</div>'


def progress(label: str, done: float, total: float, more: str = "") -> str:
    """A bar with its words; with no total, one that only shows that something goes on."""
    share = min(1.0, done / total) if total else 0.0
    now = f' aria-valuemin="0" aria-valuemax="100" aria-valuenow="{100 * share:.0f}"' if total else ""
    fill = f'style="width:{share:.1%}"' if total else 'class="going"'
    return (
        f'<div class="progress"><div class="words"><strong>{escape(label)}</strong><span>{escape(more)}</span></div>'
        f'<div class="bar" role="progressbar" aria-label="{escape(label)}"{now}><i {fill}></i></div></div>'
    )


def empty(title: str, text: str, pictures: Iterable[str] = ()) -> str:
    """What stands where something will be: what to do next."""
    shown = "".join(f"<span>{each}</span>" for each in pictures)
    photos = f'<div class="pile">{shown}</div>' if shown else ""
    return f'<div class="empty">{photos}<h2>{escape(title)}</h2><p>{escape(text)}</p></div>'


def heading(title: str, text: str) -> str:
    """A section's name and its one sentence."""
    return f'<div class="heading"><h2>{escape(title)}</h2><p>{escape(text)}</p></div>'


def time_left(seconds: float) -> str:
    """'about 3 s left', 'about 4 min left'."""
    if seconds < 1:
        return "almost done"
    if seconds < 90:
        return f"about {seconds:.0f} s left"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min left"
    return f"about {seconds / 3600:.1f} h left"
