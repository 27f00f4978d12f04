"""How a setting is declared, and what is said of a wrong value: the setting's name, the value, the range."""

import difflib
import re
import types
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen, MultipleOf
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo

from trainer.errors import ConfigError


class Settings(BaseModel):
    """Frozen, without unknown names, infinities, NaNs and NUL characters."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_nul(cls, value: Any) -> Any:
        if isinstance(value, str) and "\0" in value:
            raise ValueError("contains a NUL character; remove it")
        return value


Model = TypeVar("Model", bound=Settings)


def field(
    default: Any,
    group: str,
    description: str,
    *,
    unit: str = "",
    names: tuple[str, ...] = (),
    inverse_names: tuple[str, ...] = (),
    **limits: Any,
) -> Any:
    """One setting. `default`: a value, `...` for none, or a function of the settings declared before it.

    `names` are other programs' names for it, `inverse_names` their names of flags that switch it off.
    """
    extra: dict[str, Any] = {"group": group, "unit": unit}
    extra |= {"names": list(names), "inverse_names": list(inverse_names)}
    given: dict[str, Any] = {"default_factory" if callable(default) else "default": default}
    return Field(**given, description=description, json_schema_extra=extra, **limits)


def extra(info: FieldInfo) -> dict[str, Any]:
    """A setting's group, unit, names and inverse_names."""
    assert isinstance(info.json_schema_extra, dict)
    return info.json_schema_extra


def validated(model: type[Model], values: dict[str, Any]) -> Model:
    """Raises ConfigError with one line for each wrong setting."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        # a default that depends on a wrong setting is not the user's mistake
        items = [item for item in error.errors() if item["type"] != "default_factory_not_called"]
        raise ConfigError("\n".join(_message(model, item) for item in items)) from None


def _message(model: type[Settings], error: Any) -> str:
    location = error["loc"]
    if not location:
        return str(error["ctx"]["error"])
    name = re.sub(r"\.(\d+)", r"[\1]", ".".join(map(str, location)))
    last = str(location[-1])
    fields = _nested(model, location).model_fields
    if error["type"] == "extra_forbidden":
        return f"{name}: no such setting{did_you_mean(last, list(fields))}"
    if error["type"] == "value_error":
        return f"{name}: {error['ctx']['error']}"
    if error["type"] == "missing":
        return f"{name}: required: {fields[last].description}"
    value = repr(error["input"])
    shown = value if len(value) <= 60 else value[:60] + "..."
    return f"{name}: {shown} is refused; it takes {allowed(fields[last]) if last in fields else 'an object'}"


def _nested(model: type[Settings], location: tuple[str | int, ...]) -> type[Settings]:
    """The model whose field a location ends in: ("concepts_list", 0, "class_prompt") is one of Concept's."""
    if len(location) < 3:
        return model
    inner: type[Settings] = get_args(model.model_fields[str(location[0])].annotation)[0]
    return inner


def did_you_mean(name: str, known: list[str]) -> str:
    """', did you mean X?' with the nearest of the known names, or nothing where none is near."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f", did you mean {near[0]}?" if near else ""


def allowed(info: FieldInfo) -> str:
    """A setting's range in words: 'a whole number (px), from 32, up to 2,048, a multiple of 8'."""
    kind, choices = plain_kind(info)
    if choices:
        return "one of " + ", ".join(choices)
    words = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text"}
    unit = extra(info)["unit"]
    parts = [words.get(kind, "a list of objects") + (f" ({unit})" if unit else "")]
    for limit in info.metadata:
        match limit:
            case Ge(ge=low):
                parts.append(f"from {low:,}")
            case Gt(gt=low):
                parts.append(f"above {low:,}")
            case Le(le=high):
                parts.append(f"up to {high:,}")
            case Lt(lt=high):
                parts.append(f"below {high:,}")
            case MultipleOf(multiple_of=step):
                parts.append(f"a multiple of {step}")
            case MinLen():
                parts.append("not empty")
            case MaxLen(max_length=longest):
                parts.append(f"at most {longest:,} characters")
    return ", ".join(parts)


def is_switch(info: FieldInfo) -> bool:
    """Whether the setting is either on or off."""
    return plain_kind(info)[0] is bool


def plain_kind(info: FieldInfo) -> tuple[Any, tuple[str, ...]]:
    """The plain type under `X | None`, and a Literal's choices."""
    annotation: Any = info.annotation
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is Literal:
        return str, get_args(annotation)
    return annotation, ()
