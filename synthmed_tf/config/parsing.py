"""Reading options from YAML and `name=value`, merging them by section, and error messages for people."""

import difflib
import functools
import json
import re
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pydantic
import yaml

from synthmed_tf.errors import SynthMedError
from synthmed_tf.old_names import renamed

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=pydantic.BaseModel)


class _Loader(yaml.SafeLoader):
    """Reads 1e-4 as a number, as YAML 1.2 does; PyYAML reads it as text."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), "-+0123456789")


def read_yaml(file: Path) -> dict[str, Any]:
    """Reads a file of options.

    Raises:
        SynthMedError: it cannot be read, is not YAML, or holds no names.
    """
    try:
        values = yaml.load(Path(file).read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise SynthMedError(f"The configuration file {file} cannot be read ({error.strerror}); name another.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise SynthMedError(
            f"The configuration file {file} is not YAML ({' '.join(str(error).split())}); correct it."
        ) from None
    if not isinstance(values, dict):
        raise SynthMedError(f"The configuration file {file} holds no options; write names and values, as in size: 128.")
    return values


def parse_override(override: str) -> dict[str, Any]:
    """Reads `name=value`, whose value is YAML, into nested sections.

    Raises:
        SynthMedError: the form is another, or the value is not YAML.
    """
    name, equals, value = override.partition("=")
    parts = [part.strip() for part in name.split(".")]
    if not equals or not all(parts):
        raise SynthMedError(f"The override {override!r} is not of the form name=value, such as stage1.batch_size=16.")
    try:
        nested: dict[str, Any] = yaml.load(value, _Loader)
    except (yaml.YAMLError, ValueError):
        raise SynthMedError(f"The value in the override {override!r} is not YAML; put it in quotation marks.") from None
    for part in reversed(parts):
        nested = {part: nested}
    return nested


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes`, section by section. Setting `steps` removes `epochs`, and the other way round."""
    merged = dict(base)
    changes = renamed(changes)
    for name, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(name), dict)
        merged[name] = merge(merged[name], value) if both else value
    for one, other in (("steps", "epochs"), ("epochs", "steps")):
        if changes.get(one) is not None and other not in changes:
            merged.pop(other, None)
    return merged


def changed(values: dict[str, Any], file: Path | None, overrides: Iterable[str]) -> dict[str, Any]:
    """The values, replaced by those of a YAML file, and then by those of `name=value` overrides."""
    changes = [] if file is None else [read_yaml(file)]
    return functools.reduce(merge, [*changes, *map(parse_override, overrides)], values)


def from_json(schema: type[Model], text: str, origin: str) -> Model:
    """Builds the model from the text of a saved file.

    Raises:
        SynthMedError: the text is damaged; the message begins with `origin`.
    """
    try:
        return validate(schema, json.loads(text, object_hook=renamed))
    except ValueError as error:
        raise SynthMedError(f"{origin} is not JSON ({error}); restore it or start a new run folder.") from error
    except SynthMedError as error:
        raise SynthMedError(f"{origin} does not hold a configuration: {error}") from None


def validate(schema: type[Model], values: Any) -> Model:
    """Builds the model from these values.

    Raises:
        SynthMedError: a name is unknown (the message names the nearest one), or a value is not allowed (the message
            says which values are).
    """
    try:
        return schema.model_validate(values)
    except pydantic.ValidationError as error:
        raise SynthMedError(_sentence(error.errors()[0], schema)) from None


def nearest(name: str, known: Iterable[str]) -> str:
    """A question that names the most similar known name, or an empty text."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def listed(names: Iterable[object]) -> str:
    """`a, b or c`."""
    *others, last = [str(name) for name in names]
    return f"{', '.join(others)} or {last}" if others else last


def _sentence(problem: "ErrorDetails", schema: type[pydantic.BaseModel]) -> str:
    """The message for one of `ValidationError.errors()`."""
    path = [str(part) for part in problem["loc"]]
    name, found = ".".join(path), reprlib.repr(problem["input"])
    if problem["type"] == "missing":
        return f"Option {name} is missing; set it."
    if problem["type"] == "value_error":
        return f"In section {name}, {problem['ctx']['error']}."
    if problem["type"] == "model_type":
        first = listed(_section(schema, path).model_fields)
        return f"{name or 'The configuration'} is a section with the options {first}; it cannot be {found}."
    section = _section(schema, path[:-1])
    if problem["type"] in ("extra_forbidden", "invalid_key"):
        known = section.model_fields
        return f"There is no option {name!r}{nearest(path[-1], known)}; choose {listed(known)}."
    return f"Option {name} is {found}; it must be {_allowed(section, path[-1], problem['input'])}."


def _section(schema: type[pydantic.BaseModel], path: list[str]) -> type[pydantic.BaseModel]:
    for part in path:
        annotation = schema.model_fields[part].annotation
        assert isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel)
        schema = annotation
    return schema


def _allowed(section: type[pydantic.BaseModel], field: str, found: Any) -> str:
    """The values that a field takes, and the nearest of them if there is one."""
    shape = section.model_json_schema()["properties"][field]
    shape = next((choice for choice in shape.get("anyOf", []) if choice["type"] != "null"), shape)
    if "enum" in shape:
        return listed(shape["enum"]) + _nearest_choice(found, shape["enum"])
    kind = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "text in quotes"}
    least, most = ("minimum", "at least"), ("maximum", "at most")
    above, below = ("exclusiveMinimum", "more than"), ("exclusiveMaximum", "less than")
    bounds = [f"{words} {shape[name]:.15g}" for name, words in (least, above, most, below) if name in shape]
    return kind[shape["type"]] + (f", {' and '.join(bounds)}" if bounds else "")


def _nearest_choice(found: Any, choices: list[Any]) -> str:
    if isinstance(found, str) and isinstance(choices[0], str):
        return nearest(found, choices)
    if isinstance(found, int | float) and isinstance(choices[0], int) and abs(found) < float("inf"):
        return f" (the nearest is {min(choices, key=lambda choice: abs(choice - found))})"
    return ""
