"""The gRPC interface: the methods of TensorFlow Serving's PredictionService and ModelService that a generator needs."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from synthmed_tf.errors import SynthMedError
from synthmed_tf.serving import tensors
from synthmed_tf.serving.model import DEFAULT_SIGNATURE
from synthmed_tf.serving.service import Service, check_inputs, deadline_in
from synthmed_tf.serving.status import Refused, invalid, shortened

_MESSAGE_BYTES = 2**31 - 1


def start(service: Service, host: str, port: int) -> tuple[grpc.Server, int]:
    """Starts a gRPC server.

    Returns:
        The server and its port.

    Raises:
        SynthMedError: the port is in use or not allowed.
    """
    limits = service.limits
    options = [
        ("grpc.so_reuseport", 0),  # otherwise two servers could share a port
        ("grpc.max_receive_message_length", limits.body_bytes),
        ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ]
    # A request that finds no free thread is refused; otherwise gRPC would queue it without a limit.
    server = grpc.server(ThreadPoolExecutor(limits.requests), options=options, maximum_concurrent_rpcs=limits.requests)
    for name, methods in _methods(service).items():
        handlers = {method: _handler(*parts) for method, parts in methods.items()}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError:
        bound = 0
    if not bound:
        raise SynthMedError(f"Port {port} of {host} cannot be listened on (in use?); choose another --grpc-port.")
    server.start()
    return server, bound


def _methods(service: Service) -> dict[str, dict[str, tuple[type[Message], Callable[[Any, float | None], Message]]]]:
    status, metadata = get_model_status_pb2.GetModelStatusRequest, get_model_metadata_pb2.GetModelMetadataRequest
    return {
        "tensorflow.serving.PredictionService": {
            "Predict": (predict_pb2.PredictRequest, lambda request, left: _predict(service, request, left)),
            "GetModelMetadata": (metadata, lambda request, left: service.metadata(request)),
        },
        "tensorflow.serving.ModelService": {
            "GetModelStatus": (status, lambda request, left: service.status(request)),
        },
    }


def _handler(kind: type[Message], answer: Callable[[Any, float | None], Message]) -> grpc.RpcMethodHandler:
    """A handler that parses the message itself: gRPC would report unparsable bytes as INTERNAL."""

    def handle(body: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return bytes(answer(_parse(kind, body), context.time_remaining()).SerializeToString())
        except Refused as error:
            context.abort(getattr(grpc.StatusCode, error.code), shortened(error.message))
        except Exception as error:
            logging.getLogger(__name__).exception("a request failed")
            context.abort(grpc.StatusCode.INTERNAL, shortened(f"{type(error).__name__}: {error}"))
        raise AssertionError("abort raises an exception of its own")

    return grpc.unary_unary_rpc_method_handler(handle)


def _parse(kind: type[Message], body: bytes) -> Message:
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise invalid(f"The message is not a {kind.DESCRIPTOR.full_name} ({error}).") from error


def _predict(service: Service, request: predict_pb2.PredictRequest, left: float | None) -> predict_pb2.PredictResponse:
    deadline = deadline_in(min(service.limits.seconds, left if left is not None else service.limits.seconds))
    with service.metrics.prediction("GRPC"):
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        signature = service.signature(request.model_spec)
        described = {name: tensors.describe(name, proto) for name, proto in request.inputs.items()}
        check_inputs(described, signature, service.limits.rows)
        inputs = {name: tensors.decode(name, proto) for name, proto in request.inputs.items()}
        outputs = service.predict(request.model_spec, inputs, request.output_filter, deadline)
    spec = service.resolved(request.model_spec.signature_name or DEFAULT_SIGNATURE)
    response = predict_pb2.PredictResponse(model_spec=spec)
    for name, array in outputs.items():
        response.outputs[name].CopyFrom(tensors.encode(array))
    return response
