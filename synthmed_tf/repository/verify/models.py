"""Generators that somebody else made: do they only compute? They are read, never run."""

from collections.abc import Iterator
from pathlib import Path

from synthmed_tf.repository.paths import plain
from synthmed_tf.repository.verify.refused import Refused

MOST_BYTES = 2_000_000_000
_DOMAINS = ("", "ai.onnx.ml")

_ACTING = (
    b"PyFunc",
    b"PyFuncStateless",
    b"EagerPyFunc",
    b"ReadFile",
    b"WriteFile",
    b"MatchingFiles",
    b"WholeFileReader",
    b"TextLineReader",
    b"TFRecordReader",
    b"TextLineDataset",
    b"TFRecordDataset",
    b"FixedLengthRecord",
    b"SqlDataset",
    b"GeneratorDataset",
    b"LoadDataset",
    b"SaveDataset",
    b"DataServiceDataset",
    b"RemoteCall",
    b"RemoteFusedGraphExecute",
    b"RpcCall",
    b"DebugIdentity",
    b"DebugNumericSummary",
    b"PrintV2",
    b"WriteGraphSummary",
    b"CreateSummaryFileWriter",
    b"XlaCustomCall",
    b"TPUExecute",
    b"PyLambda",
)
"""Operators of TensorFlow that run Python, or reach files and hosts."""


def check_onnx(path: Path) -> None:
    """Sees that an ONNX file is whole, keeps its weights in itself and has standard operators alone.

    Raises:
        Refused: what it has.
    """
    import onnx

    if path.stat().st_size > MOST_BYTES:
        raise Refused("has more than 2 GB")
    model = onnx.ModelProto()
    model.ParseFromString(path.read_bytes())
    imported = {opset.domain: opset.version for opset in model.opset_import}
    if not imported or not model.graph.node:
        raise Refused("is no ONNX file")
    for message in _messages(model):
        if isinstance(message, onnx.TensorProto) and (
            message.data_location == onnx.TensorProto.EXTERNAL or message.external_data
        ):
            raise Refused("keeps weights in another file")
        if isinstance(message, onnx.NodeProto) and not (
            message.domain in _DOMAINS
            and message.domain in imported
            and onnx.defs.has(message.op_type, imported[message.domain], message.domain)
        ):
            named = f"{plain(message.op_type, 60)} of {plain(message.domain, 60) or 'ONNX'}"
            raise Refused(f"has the operator {named}, which is not part of ONNX as it imports it")


def check_savedmodel(path: Path) -> None:
    """Sees that a graph has no operator that runs Python or reaches files and hosts.

    The names are looked for in the bytes, so that nothing has to parse what somebody else wrote; an operator's name
    stands there as it is.

    Raises:
        Refused: which it has.
    """
    if path.stat().st_size > MOST_BYTES:
        raise Refused("has more than 2 GB")
    content = path.read_bytes()
    if not content.startswith(b"\x08\x01"):
        raise Refused("is no SavedModel")
    for name in _ACTING:
        if name in content:
            raise Refused(f"names the operator {name.decode()}, which runs Python or reaches files or hosts")


def _messages(message) -> Iterator:
    """A message and all in it, however deeply graphs lie in nodes."""
    waiting = [message]
    while waiting:
        current = waiting.pop()
        yield current
        for field, value in current.ListFields():
            if field.message_type is not None:
                waiting.extend([value] if _is_single(field) else value)


def _is_single(field) -> bool:
    repeated = getattr(field, "is_repeated", None)  # protobuf before 6 has the label alone
    return not (field.label == field.LABEL_REPEATED if repeated is None else repeated)
