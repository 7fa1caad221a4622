"""Tensors as JSON, by the rules of TensorFlow Serving's `json_tensor.cc`.

`instances` holds rows and is answered by `predictions`; `inputs` holds columns and is answered by `outputs`. Bytes are
written as `{"b64": ...}` in base64.
"""

import base64
import binascii
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from synthmed_tf.serving.status import Refused, invalid

_LONGEST_VALUE = 400
_TYPES = {type(None): "Null", dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}
_FLOAT_INTEGERS = 2**24 - 1
_DEEPEST = 64


def parse(body: bytes) -> dict[str, Any]:
    """The request's JSON object.

    Raises:
        Refused: the body is not a JSON object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body.decode("utf-8"))
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from error
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {str(error)[:_LONGEST_VALUE]}") from error
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {_text(document)} Is not object")
    return document


def signature_name(document: dict[str, Any]) -> str:
    """The name of the signature in the request; empty for the default signature."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {_text(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def read_inputs(document: dict[str, Any], dtypes: Mapping[str, str]) -> tuple[dict[str, np.ndarray], bool]:
    """The request's tensors.

    Args:
        document: the result of `parse`.
        dtypes: the type of each input of the signature: `int64`, `uint8`, `float32`, `bool` or `string`.

    Returns:
        The arrays by name, and whether the request has rows (`instances`).

    Raises:
        Refused: the document does not hold these inputs.
    """
    rows, columns = "instances" in document, "inputs" in document
    if rows and columns:
        raise invalid(
            f"JSON Value: {_text(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' keys "
            "to exist "
        )
    if rows:
        return _read_rows(document["instances"], dtypes), True
    if columns:
        return _read_columns(document["inputs"], dtypes), False
    raise invalid("Missing 'inputs' or 'instances' key")


def write_outputs(outputs: Mapping[str, np.ndarray], rows: bool) -> dict[str, Any]:
    """The reply: `predictions` (rows) or `outputs` (columns). A single output is written without its name."""
    columns = {name: _to_json(name, array) for name, array in sorted(outputs.items())}
    if len(columns) == 1:
        return {"predictions" if rows else "outputs": next(iter(columns.values()))}
    if not rows:
        return {"outputs": columns}
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]}


def _read_rows(instances: Any, dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    if not isinstance(instances, list):
        raise invalid(f"JSON Value: {_text(instances)} Excepting 'instances' to be an list/array")
    if not instances:
        raise invalid("JSON Value: [] No values in 'instances' array")
    if not isinstance(instances[0], dict) and len(dtypes) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    named = _is_object(instances[0])
    shapes: dict[str, tuple[int, ...]] = {}
    values: dict[str, list[Any]] = {name: [] for name in dtypes}
    for i, row in enumerate(instances):
        if named != _is_object(row):
            raise invalid(
                f"Expecting object but got list at item {i} of input list"
                if named
                else f"Expecting value/list but got object at item {i} of input list"
            )
        _add_row(i, row if named else {next(iter(dtypes)): row}, dtypes, shapes, values)
    return {name: _array(values[name], (len(instances), *shapes[name]), dtypes[name]) for name in dtypes}


def _add_row(
    i: int,
    row: dict[str, Any],
    dtypes: Mapping[str, str],
    shapes: dict[str, tuple[int, ...]],
    values: dict[str, list[Any]],
) -> None:
    for name, item in row.items():
        try:
            if name not in dtypes:
                raise invalid(f"JSON object: does not have named input: {name}")
            shape = _shape(item)
            if shapes.setdefault(name, shape) != shape:
                expected, got = (f"[{','.join(map(str, s))}]" for s in (shapes[name], shape))
                raise invalid(f"Expecting shape {expected} but got: {got}")
            _fill(item, shape, 0, dtypes[name], values[name])
        except Refused as error:
            message = f"Failed to process element: {i} key: {name} of 'instances' list. Error: INVALID_ARGUMENT: "
            raise invalid(message + error.message) from error
    if set(row) != set(dtypes):
        raise invalid(
            f"Failed to process element: {i} of 'instances' list. JSON object: {_text(row)} keys must be equal to: "
            + ",".join(sorted(dtypes))
        )


def _read_columns(inputs: Any, dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    if not _is_object(inputs):
        if len(dtypes) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        inputs = {next(iter(dtypes)): inputs}
    arrays = {}
    for name, dtype in sorted(dtypes.items()):
        if name not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
        values: list[Any] = []
        shape = _shape(inputs[name])
        _fill(inputs[name], shape, 0, dtype, values)
        arrays[name] = _array(values, shape, dtype)
    return arrays


def _shape(value: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > _DEEPEST:
            raise invalid(f"Encountered list at unexpected level: {_DEEPEST}")
        value = value[0] if value else None
    return tuple(shape)


def _fill(value: Any, shape: tuple[int, ...], level: int, dtype: str, values: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {_text(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        values.append(_scalar(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        _fill(item, shape, level + 1, dtype, values)


def _scalar(value: Any, dtype: str) -> Any:
    if dtype == "string":
        return _string(value)
    if dtype == "bool":
        fits = isinstance(value, bool)
    elif dtype == "float32":
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        if fits and not _is_lossless(value):
            raise invalid(f"Cannot convert JSON value: {_text(value)} to float without loss of precision.")
    else:
        limits = np.iinfo(dtype)
        fits = type(value) is int and limits.min <= value <= limits.max
    if not fits:
        kind = "True" if value is True else "False" if value is False else _TYPES[type(value)]
        name = "float" if dtype == "float32" else dtype
        raise invalid(f"JSON Value: {_text(value)} Type: {kind} is not of expected type: {name}")
    return value


def _is_lossless(value: int | float) -> bool:
    if isinstance(value, int):
        return abs(value) <= _FLOAT_INTEGERS
    return not math.isfinite(value) or abs(value) <= np.finfo(np.float32).max


def _string(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if not _is_base64(value):
        raise invalid(f"JSON Value: {_text(value)} not formatted correctly for base64 data")
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _array(values: list[Any], shape: tuple[int, ...], dtype: str) -> np.ndarray:
    array = np.array(values, object if dtype == "string" else dtype)
    return array.reshape(shape)


def _to_json(name: str, array: np.ndarray) -> list[Any]:
    if array.dtype != object:
        return list(array.tolist())
    if name.endswith("_bytes"):
        return [{"b64": base64.b64encode(value).decode()} for value in array.tolist()]
    return [value.decode("utf-8", "replace") for value in array.tolist()]


def _text(value: Any) -> str:
    """The value as JSON for an error message, cut where it is long."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "..."
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "..."
