"""Warm-up requests, which TensorFlow Serving sends to a model before the model counts as available.

A `PredictionLog` is three nested messages and is encoded by hand, so that exporting needs no `tensorflow-serving-api`.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from synthmed_tf.exporting.artifact import BATCH_SIZES

FILE = Path("assets.extra") / "tf_serving_warmup_requests"
_SIGNATURE = "serving_default"
# Field numbers of model.proto, predict.proto and prediction_log.proto.
_NAME, _SIGNATURE_NAME = 1, 3
_MODEL_SPEC, _INPUTS, _KEY, _VALUE = 1, 2, 1, 2
_REQUEST, _PREDICT_LOG = 1, 6


def write(savedmodel: Path, name: str = "synthmed") -> None:
    """Writes one request of `serving_default` for each batch size into `assets.extra` of a SavedModel."""
    file = Path(savedmodel) / FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as records:
        for rows in BATCH_SIZES:
            records.write(_log(name, rows))


def _log(name: str, rows: int) -> bytes:
    spec = _field(_NAME, name.encode()) + _field(_SIGNATURE_NAME, _SIGNATURE.encode())
    request = _field(_MODEL_SPEC, spec)
    for key, values in (("seed", np.zeros(rows, np.int64)), ("index", np.arange(rows, dtype=np.int64))):
        tensor = tf.make_tensor_proto(values).SerializeToString()
        request += _field(_INPUTS, _field(_KEY, key.encode()) + _field(_VALUE, tensor))
    return _field(_PREDICT_LOG, _field(_REQUEST, request))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field in protobuf's wire format."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes(encoded + bytes([value]))
