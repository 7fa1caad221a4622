"""The requests that both interfaces have: predict, model status, model metadata."""

import time
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import DTypeLike
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from synthmed_tf.serving.batching import Arrays, Batcher
from synthmed_tf.serving.limits import Limits
from synthmed_tf.serving.metrics import Metrics
from synthmed_tf.serving.model import DEFAULT_SIGNATURE, Model
from synthmed_tf.serving.status import Refused, invalid

METADATA_FIELD = "signature_def"
DTYPES = {
    types_pb2.DT_INT64: "int64",
    types_pb2.DT_UINT8: "uint8",
    types_pb2.DT_FLOAT: "float32",
    types_pb2.DT_STRING: "string",
}
"""The types that an artifact's signatures have."""


class Service:
    """One model with a queue in front of it.

    Attributes:
        model: the model that is served.
        limits: of requests.
        metrics: of requests and batches.
    """

    def __init__(self, model: Model, limits: Limits):
        self.model, self.limits = model, limits
        self.metrics = Metrics(model.name, lambda: self._batcher.waiting)
        self._batcher = Batcher(model.run, limits, self.metrics.batch)

    def stop(self) -> None:
        """Refuses new requests and finishes those in the queue."""
        self._batcher.stop()

    def signature(self, spec: model_pb2.ModelSpec, unknown: str = "FAILED_PRECONDITION") -> meta_graph_pb2.SignatureDef:
        """The signature that a request names.

        Raises:
            Refused: there is no such model or version, or no such signature (with the code `unknown`).
        """
        self._check_model(spec)
        name = spec.signature_name or DEFAULT_SIGNATURE
        found = self.model.signatures.get(name)
        if found is not None and found.inputs:
            return found
        if found is not None:
            raise invalid(f"Failed to get input map for signature: {name}")
        if unknown == "INVALID_ARGUMENT":
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        raise Refused(unknown, f'Serving signature key "{name}" not found.')

    def predict(
        self, spec: model_pb2.ModelSpec, inputs: Arrays, output_filter: Iterable[str], deadline: float
    ) -> Arrays:
        """Generates the outputs of a request.

        Args:
            spec: model and signature.
            inputs: arrays by name.
            output_filter: names of the wanted outputs; empty for all.
            deadline: in the time of `time.monotonic()`, in seconds.

        Raises:
            Refused: the request cannot be answered; code and message say why.
        """
        signature = self.signature(spec)
        names = _filtered(list(output_filter), signature)
        check_inputs({name: (array.dtype, array.shape) for name, array in inputs.items()}, signature, self.limits.rows)
        if "index" in inputs and (inputs["index"] < 0).any():
            raise invalid(f"Input index holds {int(inputs['index'].min())}; an index is 0 or more.")
        outputs = self._batcher.generate(spec.signature_name or DEFAULT_SIGNATURE, inputs, deadline)
        return {name: outputs[name] for name in names}

    def resolved(self, signature_name: str = "") -> model_pb2.ModelSpec:
        """The model specification that a reply carries."""
        spec = model_pb2.ModelSpec(name=self.model.name, signature_name=signature_name)
        spec.version.value = self.model.version
        return spec

    def status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """The state of the loaded version."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        if spec.HasField("version_label"):
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        if spec.HasField("version") and (spec.name, spec.version.value) != (self.model.name, self.model.version):
            raise Refused("NOT_FOUND", f"Could not find version {spec.version.value} of model {spec.name}")
        if spec.name != self.model.name:
            raise Refused("NOT_FOUND", f"Could not find any versions of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        version = response.model_version_status.add(version=self.model.version, state=state)
        version.status.SetInParent()
        return response

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """The signatures of the model."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != METADATA_FIELD:
                raise invalid(f"Metadata field {name} is not supported")
        self._check_model(request.model_spec)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in self.model.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=self.resolved())
        response.metadata[METADATA_FIELD].Pack(signatures)
        return response

    def _check_model(self, spec: model_pb2.ModelSpec) -> None:
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        if spec.HasField("version_label"):
            raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        if spec.HasField("version"):
            if (spec.name, spec.version.value) != (self.model.name, self.model.version):
                asked = f"Specific({spec.name}, {spec.version.value})"
                raise Refused("NOT_FOUND", f"Servable not found for request: {asked}")
        elif spec.name != self.model.name:
            raise Refused("NOT_FOUND", f"Servable not found for request: Latest({spec.name})")


def check_inputs(
    given: Mapping[str, tuple[DTypeLike, tuple[int, ...]]], signature: meta_graph_pb2.SignatureDef, most_rows: int
) -> None:
    """Checks names, types and shapes before anything is decoded or generated.

    Raises:
        Refused: the first fault that was found.
    """
    sent, wanted = set(given), set(signature.inputs)
    if sent != wanted:
        missing, extra = ",".join(sorted(wanted - sent)), ",".join(sorted(sent - wanted))
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)} len({{{','.join(sorted(sent))}}}) != "
            f"len({{{','.join(sorted(wanted))}}}). Sent extra: {{{extra}}}. Missing but required: {{{missing}}}."
        )
    for name, info in sorted(signature.inputs.items()):
        dtype, shape = given[name]
        expected = DTYPES[info.dtype]
        if np.dtype(dtype) != np.dtype(object if expected == "string" else expected):
            raise invalid(f"Input {name} is of type {np.dtype(dtype)}; it must be {expected}.")
        pattern = [dim.size for dim in info.tensor_shape.dim]
        fits = len(shape) == len(pattern) and all(p in (-1, n) for p, n in zip(pattern, shape, strict=True))
        if not fits:
            shown = ", ".join("n" if size == -1 else str(size) for size in pattern)
            raise invalid(f"Input {name} has shape {list(shape)}; it must be [{shown}].")
    rows = {name: shape[0] for name, (_, shape) in given.items()}
    if len(set(rows.values())) > 1:
        raise invalid(f"Batching session Run() input tensors must have equal 0th-dimension size; they have {rows}.")
    count = next(iter(rows.values()))
    if count > most_rows:
        raise invalid(f"Task size {count} is larger than maximum input batch size {most_rows}; send fewer rows.")
    if count < 1:
        raise invalid("The request has no rows; send at least one.")


def _filtered(names: list[str], signature: meta_graph_pb2.SignatureDef) -> list[str]:
    known = sorted(signature.outputs)
    for i, name in enumerate(names):
        if name not in known:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{{{','.join(known)}}}."
            )
        if name in names[:i]:
            raise invalid(f"duplicate output tensor alias: {name}")
    return names or known


def deadline_in(seconds: float) -> float:
    """A deadline in the time of `time.monotonic()`."""
    return time.monotonic() + seconds
