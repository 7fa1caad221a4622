"""Conversion between arrays and `TensorProto` with typed fields, as TensorFlow Serving writes it."""

from typing import Any

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

from synthmed_tf.serving.status import invalid

_NUMPY: dict[int, np.dtype[Any]] = {
    types_pb2.DT_INT64: np.dtype(np.int64),
    types_pb2.DT_INT32: np.dtype(np.int32),
    types_pb2.DT_UINT8: np.dtype(np.uint8),
    types_pb2.DT_FLOAT: np.dtype(np.float32),
    types_pb2.DT_DOUBLE: np.dtype(np.float64),
    types_pb2.DT_BOOL: np.dtype(np.bool_),
    types_pb2.DT_STRING: np.dtype(object),
}


def describe(name: str, proto: tensor_pb2.TensorProto) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """The type and shape that a proto declares; no memory is allocated for its values.

    Raises:
        Refused: the type is not supported, or the shape is not known.
    """
    if proto.dtype not in _NUMPY:
        known = proto.dtype in types_pb2.DataType.values()
        shown = types_pb2.DataType.Name(proto.dtype) if known else proto.dtype
        raise invalid(f"Input {name} is of type {shown}, which no signature has.")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise invalid(f"tensor parsing error: {name} (its shape is not known)")
    return _NUMPY[proto.dtype], shape


def decode(name: str, proto: tensor_pb2.TensorProto) -> np.ndarray:
    """The values of a proto, whose type and shape must have been checked.

    Raises:
        Refused: the number of values does not match the shape.
    """
    import tensorflow as tf

    try:
        return np.asarray(tf.make_ndarray(proto))
    except Exception as error:
        raise invalid(f"tensor parsing error: {name} ({str(error)[:200]})") from error


def encode(array: np.ndarray) -> tensor_pb2.TensorProto:
    """The proto of an array of uint8 or of bytes."""
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING if array.dtype == object else types_pb2.DT_UINT8)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    (proto.string_val if array.dtype == object else proto.int_val).extend(array.ravel().tolist())
    return proto
