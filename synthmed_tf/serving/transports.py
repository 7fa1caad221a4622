"""Predictions over REST and over gRPC, with equal results and errors."""

import abc
import base64
import re
from typing import Any

import numpy as np

from synthmed_tf.serving.status import HTTP_STATUS

Signature = dict[str, dict[str, tuple[str, tuple[int, ...]]]]
"""`inputs` and `outputs`, each with type and shape by name; -1 is any size."""

_OUTPUTS = ("mask_bytes", "image_bytes")
_RETRIED = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")
_REPLY_BYTES = 2**31 - 1


class Failed(Exception):
    """A prediction that failed.

    Attributes:
        retried: whether the same request may succeed later.
    """

    def __init__(self, message: str, retried: bool):
        super().__init__(message)
        self.retried = retried


class Transport(abc.ABC):
    """A connection to one model of one server."""

    @abc.abstractmethod
    def signature(self, name: str) -> Signature | None:
        """A signature as the server describes it; None if there is none of that name."""

    @abc.abstractmethod
    def predict(self, seed: np.ndarray, index: np.ndarray) -> tuple[list[bytes], list[bytes]]:
        """The PNG files of masks and of images by `serving_default`, one pair for each row."""

    @abc.abstractmethod
    def close(self) -> None:
        """Closes the connection."""


class Rest(Transport):
    """Over HTTP; does not import TensorFlow."""

    def __init__(self, url: str, model: str, seconds: float):
        import requests

        self._requests, self._session = requests, requests.Session()
        self._base, self._seconds = f"{url.rstrip('/')}/v1/models/{model}", seconds

    def signature(self, name: str) -> Signature | None:
        described = self._call("GET", "/metadata")["metadata"]["signature_def"]["signature_def"].get(name)
        if described is None:
            return None
        return {
            side: {key: self._info(info) for key, info in described[side].items()} for side in ("inputs", "outputs")
        }

    def predict(self, seed: np.ndarray, index: np.ndarray) -> tuple[list[bytes], list[bytes]]:
        body = {"inputs": {"seed": seed.tolist(), "index": index.tolist()}}
        outputs = self._call("POST", ":predict", json=body)["outputs"]
        masks, images = ([base64.b64decode(v["b64"]) for v in outputs[name]] for name in _OUTPUTS)
        return masks, images

    def close(self) -> None:
        self._session.close()

    def _call(self, method: str, path: str, **body: Any) -> Any:
        try:
            answer = self._session.request(method, self._base + path, timeout=self._seconds, **body)
        except self._requests.Timeout as error:
            raise Failed(f"no answer within {self._seconds:g} s", False) from error
        except self._requests.RequestException as error:
            raise Failed(f"it cannot be reached ({_cause(error)})", True) from error
        try:
            document = answer.json()
        except ValueError:
            document = {}
        if not answer.ok:
            said = document.get("error", answer.reason) if isinstance(document, dict) else answer.reason
            raise Failed(f"{said} (HTTP {answer.status_code})", answer.status_code in map(HTTP_STATUS.get, _RETRIED))
        return document

    @staticmethod
    def _info(info: dict[str, Any]) -> tuple[str, tuple[int, ...]]:
        return info["dtype"], tuple(int(dim["size"]) for dim in info["tensor_shape"].get("dim", []))


class Grpc(Transport):
    """Over gRPC, with the official stubs (which import TensorFlow)."""

    def __init__(self, address: str, model: str, seconds: float):
        import grpc
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        sizes = [(f"grpc.max_{way}_message_length", _REPLY_BYTES) for way in ("receive", "send")]
        self._grpc, self._model, self._seconds = grpc, model, seconds
        self._channel = grpc.insecure_channel(address, options=sizes)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def signature(self, name: str) -> Signature | None:
        from tensorflow.core.framework import types_pb2
        from tensorflow_serving.apis import get_model_metadata_pb2

        asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        asked.model_spec.name = self._model
        answer = self._call(self._stub.GetModelMetadata, asked)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(signatures)
        if name not in signatures.signature_def:
            return None
        found = signatures.signature_def[name]
        return {
            side: {
                key: (types_pb2.DataType.Name(info.dtype), tuple(dim.size for dim in info.tensor_shape.dim))
                for key, info in getattr(found, side).items()
            }
            for side in ("inputs", "outputs")
        }

    def predict(self, seed: np.ndarray, index: np.ndarray) -> tuple[list[bytes], list[bytes]]:
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model
        request.inputs["seed"].CopyFrom(tf.make_tensor_proto(seed))
        request.inputs["index"].CopyFrom(tf.make_tensor_proto(index))
        outputs = self._call(self._stub.Predict, request).outputs
        masks, images = (list(outputs[name].string_val) for name in _OUTPUTS)
        return masks, images

    def close(self) -> None:
        self._channel.close()

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self._seconds)
        except self._grpc.RpcError as error:
            code, said = error.code().name, error.details()
            # A reply over this side's size limit has the same code as a busy server.
            retried = code in _RETRIED and "larger than max" not in said
            raise Failed(f"{said} ({code})", retried) from error


def _cause(error: Exception) -> str:
    """The innermost reason, such as `Connection refused`."""
    found = re.findall(r"\[Errno \d+\] ([^'\")]+)|(Remote end closed connection|Connection reset)", str(error))
    return next((a or b for a, b in found), type(error).__name__)
