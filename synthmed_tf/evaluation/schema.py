"""The JSON Schema of `report.json`, and the same for people.

python -m synthmed_tf.evaluation.schema > docs/report.md
"""

import re
from collections.abc import Iterator
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from synthmed_tf.evaluation.report import FILE, PAIRS, SCHEMA_VERSION, Report

Schema = dict[str, Any]

_ATTRIBUTES = "Attributes:"
_NAMED = re.compile(r"\w+(?:, \w+)*: ")
_INTRODUCTION = f"""# The report's schema

`synthmed evaluate` writes `{FILE}`, a line a synthetic pair in `{PAIRS}`, and `report.html`, the same for people. This
page is written from the models by `python -m synthmed_tf.evaluation.schema > docs/report.md`; the JSON Schema is what
`synthmed_tf.evaluation.schema.json_schema()` gives.

This is schema version {SCHEMA_VERSION}. The version rises when a field is removed or means something else; a new field
leaves it. A number is null where it could not be measured, or is infinite.

`{PAIRS}` has `index`, the pair's index in the set's manifest, and the scores of the sections that ran:

| score | section | meaning |
|---|---|---|
| `dice`, `cl_dice` | fidelity | of the vessels that a segmenter finds in the photograph, against the pair's own mask |
| `atypicality` | geometry | of the tree's most unusual figure; 1 is as unusual as the most atypical real tree |
| `copy_excess` | privacy | the largest score minus threshold over the searches for copies; 0 or more is a copy |
"""


class _Generator(GenerateJsonSchema):
    """NaN is null, and fields have the meanings that their class's docstring gives them."""

    def float_schema(self, schema):
        return super().float_schema(schema) | {"type": ["number", "null"]}

    def model_schema(self, schema):
        made = super().model_schema(schema)
        made["description"], meanings = _parted(made.get("description", ""))
        for name, meaning in meanings.items():
            if name in made["properties"]:
                made["properties"][name]["description"] = meaning
        return made


def json_schema() -> Schema:
    """The JSON Schema of `report.json`, with the figures of all sections."""
    models = _figures()
    both = [(model, "serialization") for model in (Report, *models.values())]
    places, schema = models_json_schema(both, schema_generator=_Generator)
    definitions = schema["$defs"]
    sections = {name: places[model, "serialization"] for name, model in models.items()}
    definitions["Report"]["properties"]["sections"] |= {
        "properties": sections,
        "required": ["compared"],
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **places[Report, "serialization"],
        "$defs": definitions,
    }


def markdown() -> str:
    """The schema for people: docs/report.md."""
    schema = json_schema()
    definitions = schema["$defs"]
    sections = definitions["Report"]["properties"]["sections"]["properties"]
    starts = {"The report": schema} | {f"Section `{name}`": reference for name, reference in sections.items()}
    lines, seen = [_INTRODUCTION], set()
    for title, start in starts.items():
        lines += [f"## {title}", ""]
        for name in _reached(start, definitions):
            if name not in seen:
                seen.add(name)
                lines += _described(name, definitions)
    return "\n".join(lines).rstrip() + "\n"


def _figures() -> dict[str, type]:
    # The sections import TensorFlow, which reading a report does not need.
    from synthmed_tf.evaluation.sections import compared, dispersion, distribution, fidelity, geometry, privacy, utility

    return {
        "compared": compared.Compared,
        "utility": utility.Utility,
        "fidelity": fidelity.Fidelity,
        "geometry": geometry.Geometry,
        "distribution": distribution.Distribution,
        "dispersion": dispersion.Dispersion,
        "privacy": privacy.Privacy,
    }


def _parted(docstring: str) -> tuple[str, dict[str, str]]:
    """A docstring without its attributes, and the meaning of each attribute."""
    before, _, listed = docstring.partition(_ATTRIBUTES)
    entries: list[str] = []
    for line in listed.strip("\n").splitlines():
        if line.startswith("    ") and _NAMED.match(line.strip()) and not line.startswith("     "):
            entries.append(line.strip())
        elif entries:
            entries[-1] += " " + line.strip()
    meanings: dict[str, str] = {}
    for entry in entries:
        names, meaning = entry.split(": ", 1)
        meanings |= dict.fromkeys(names.split(", "), re.sub(r"\b(None|NaN)\b", "null", meaning.strip()))
    return " ".join(before.split()), meanings


def _reached(start: Any, definitions: Schema) -> Iterator[str]:
    """Names of the models that a schema refers to, each before those that it refers to itself."""
    if isinstance(start, dict):
        if "$ref" in start:
            name = _name(start)
            yield name
            inner = definitions[name].get("properties", {})
            yield from _reached({k: v for k, v in inner.items() if k != "sections"}, definitions)
        for key, value in start.items():
            if key not in ("$ref", "$defs"):
                yield from _reached(value, definitions)
    elif isinstance(start, list):
        for value in start:
            yield from _reached(value, definitions)


def _described(name: str, definitions: Schema) -> list[str]:
    schema = definitions[name]
    lines = [f"### {name.split('__')[-1]}", "", schema.get("description", "").strip(), ""]
    if "enum" in schema:
        return [*lines, "One of " + ", ".join(f"`{value}`" for value in schema["enum"]) + ".", ""]
    lines += ["| field | type | meaning |", "|---|---|---|"]
    for field, inner in schema["properties"].items():
        lines.append(f"| `{field}` | {_type(inner)} | {inner.get('description', '').replace('|', chr(92) + '|')} |")
    return [*lines, ""]


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return _name(schema).split("__")[-1]
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    kinds = schema.get("type", "anything")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    if kind == "array":
        inner = {_type(part) for part in schema.get("prefixItems", [schema.get("items", {})])}
        return f"list of {' or '.join(sorted(inner))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return kind


def _name(reference: Schema) -> str:
    return reference["$ref"].rsplit("/", 1)[-1]


if __name__ == "__main__":
    print(markdown(), end="")
