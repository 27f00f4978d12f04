"""Controls made from a setting's own field: its name, default, range, unit and help are written once, in config.py."""

from pathlib import Path
from typing import Any

import gradio as gr
from annotated_types import Ge, Le, MultipleOf

from trainer.fields import Settings, extra, plain_kind

SLIDER_SPAN = 1000  # a wider range is typed, not dragged


def label_of(name: str) -> str:
    """'Guidance scale' for guidance_scale."""
    return name.replace("_", " ").capitalize()


def file_of_ones_own(**options: Any) -> gr.File:
    """A gr.File for what was uploaded here. Gradio would fetch the web address that a request names as its file."""
    component = gr.File(**options)
    keep = component.async_move_resource_to_block_cache

    async def keep_own(path: str | Path | None) -> str | None:
        if path is not None and "://" in str(path):
            raise gr.Error("A web address is not fetched: upload the file itself.", print_exception=False)
        return await keep(path)

    component.async_move_resource_to_block_cache = keep_own  # type: ignore[method-assign,assignment]
    return component


def control(model: type[Settings], name: str, **changes: Any) -> gr.components.Component:
    """The control for one field; `changes` are gradio's own arguments, as a lower maximum."""
    info = model.model_fields[name]
    plain, choices = plain_kind(info)
    default = info.get_default() if info.default_factory is None else None
    unit = extra(info)["unit"]
    told: dict[str, Any] = {
        "label": label_of(name) + (f" ({unit})" if unit else ""),
        "info": (info.description or "").capitalize(),
        "value": default,
    }
    if choices:
        return gr.Dropdown(**told | {"choices": list(choices)} | changes)
    if plain is bool:
        return gr.Checkbox(**told | changes)
    if plain in (int, float):
        return _number(info.metadata, plain is int, told, changes)
    return gr.Textbox(**told | changes)


def _number(
    limits: list[Any], whole: bool, told: dict[str, Any], changes: dict[str, Any]
) -> gr.components.Component:
    """A slider where the range is short and there is a default, else a field to type in."""
    found: dict[str, Any] = {
        "minimum": next((limit.ge for limit in limits if isinstance(limit, Ge)), None),
        "maximum": next((limit.le for limit in limits if isinstance(limit, Le)), None),
        "step": next(
            (limit.multiple_of for limit in limits if isinstance(limit, MultipleOf)), 1 if whole else 1e-6
        ),
    }
    found |= changes
    ends = found["minimum"], found["maximum"]
    if told["value"] is not None and None not in ends and ends[1] - ends[0] <= SLIDER_SPAN:
        return gr.Slider(**told | {"step": 1 if whole else 0.1} | found)
    # without its ends: gradio would refuse what is outside in words of its own, which do not name the setting
    return gr.Number(
        **told | {"precision": 0 if whole else None} | found | {"minimum": None, "maximum": None}
    )
