"""The REST interface of TensorFlow Serving, with its metrics and `/healthz`."""

import asyncio
import functools
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

import anyio.to_thread
import google.protobuf
from google.protobuf import json_format
from google.protobuf.message import Message
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from synthmed_tf.serving import gzip_body, json_tensor, metrics
from synthmed_tf.serving.service import DTYPES, METADATA_FIELD, Service, deadline_in
from synthmed_tf.serving.status import HTTP_STATUS, Refused, invalid

_WHICH = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_PREDICT = re.compile(rf"(?i:/v1/models/(?P<name>[^/:]+){_WHICH}:(?P<verb>classify|regress|predict))", re.ASCII)
_LOOK = re.compile(rf"(?i:/v1/models(?:/(?P<name>[^/:]+))?{_WHICH}(?:/(?P<metadata>metadata))?)", re.ASCII)
_LARGEST_VERSION = 2**63 - 1
_TOO_LARGE = 413
# Protobuf renamed the option in its release 26.
_PRINT_ALL = (
    "always_print_fields_with_no_presence"
    if int(google.protobuf.__version__.split(".")[0]) >= 5
    else "including_default_value_fields"
)


@dataclass(frozen=True)
class _Target:
    """The model and the method that a path names."""

    spec: model_pb2.ModelSpec
    verb: str


def make_app(service: Service) -> Starlette:
    """The application for an ASGI server."""
    api = _Api(service)
    every = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return Starlette(
        routes=[
            Route("/healthz", lambda request: PlainTextResponse("ok\n")),
            Route(metrics.PATH, lambda request: Response(service.metrics.page(), media_type=metrics.CONTENT_TYPE)),
            Route("/{path:path}", api.handle, methods=every),
        ]
    )


class _Api:
    def __init__(self, service: Service):
        self._service = service
        self._under_way = 0
        self._threads: anyio.CapacityLimiter | None = None

    async def handle(self, request: Request) -> Response:
        limits = self._service.limits
        path = request.scope.get("raw_path", request.url.path.encode()).decode("latin-1")
        if not re.match("(?i)/v1/", path):
            return _error(Refused("NOT_FOUND", f"Not found: {request.method} {path}"))
        if self._under_way >= limits.requests:
            sentence = f"{limits.requests} requests are being processed, which is the limit; try again."
            return _error(Refused("RESOURCE_EXHAUSTED", sentence))
        self._under_way += 1
        try:
            return await self._answer(request, path, deadline_in(limits.seconds))
        except Refused as error:
            return _error(error)
        except ClientDisconnect:
            return Response(status_code=HTTP_STATUS["CANCELLED"])
        except Exception as error:
            logging.getLogger(__name__).exception("a request failed")
            return _error(Refused("INTERNAL", f"{type(error).__name__}: {error}"))
        finally:
            self._under_way -= 1

    async def _answer(self, request: Request, path: str, deadline: float) -> Response:
        target = _parse_path(request.method, path)
        if target.verb == "status":
            asked = get_model_status_pb2.GetModelStatusRequest(model_spec=target.spec)
            return _json(_to_json(self._service.status(asked)))
        if target.verb == "metadata":
            return _json(self._metadata(target.spec))
        most = self._service.limits.body_bytes
        try:
            body = await asyncio.wait_for(_read_body(request, most), deadline_left(deadline))
        except asyncio.TimeoutError:
            raise Refused("DEADLINE_EXCEEDED", "Timed out while reading the request's body") from None
        if self._threads is None:  # made inside the event loop; one for each request, so that none waits unseen
            self._threads = anyio.CapacityLimiter(self._service.limits.requests)
        answer = functools.partial(self._predict, target, body, deadline, request.headers)
        return await anyio.to_thread.run_sync(answer, limiter=self._threads)

    def _predict(self, target: _Target, body: bytes, deadline: float, headers: Mapping[str, str]) -> Response:
        with self._service.metrics.prediction("REST"):
            body = gzip_body.decoded(body, headers.get("content-encoding", ""), self._service.limits.body_bytes)
            document = json_tensor.parse(body)
            target.spec.signature_name = json_tensor.signature_name(document)
            signature = self._service.signature(target.spec, unknown="INVALID_ARGUMENT")
            if target.verb != "predict":
                what = {"classify": "classification", "regress": "regression"}[target.verb]
                raise invalid(
                    f"Expected {what} signature method_name to be tensorflow/serving/{target.verb}. "
                    f"Was: {signature.method_name}"
                )
            dtypes = {name: DTYPES[info.dtype] for name, info in signature.inputs.items()}
            inputs, rows = json_tensor.read_inputs(document, dtypes)
            outputs = self._service.predict(target.spec, inputs, (), deadline)
        content = json.dumps(json_tensor.write_outputs(outputs, rows)).encode()
        packed = gzip_body.encoded(content) if gzip_body.is_accepted(headers.get("accept-encoding", "")) else None
        sent = {"Vary": "Accept-Encoding"} | ({} if packed is None else {"Content-Encoding": "gzip"})
        return Response(packed or content, media_type="application/json", headers=sent)

    def _metadata(self, spec: model_pb2.ModelSpec) -> str:
        asked = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=[METADATA_FIELD])
        answer = self._service.metadata(asked)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata[METADATA_FIELD].Unpack(signatures)
        described = json.loads(_to_json(signatures, preserving_proto_field_name=True))
        model = json.loads(_to_json(answer.model_spec, preserving_proto_field_name=True))
        return json.dumps({"model_spec": model, "metadata": {METADATA_FIELD: described}}, indent=1)


async def _read_body(request: Request, most: int) -> bytes:
    length = request.headers.get("content-length", "")
    if "expect" in request.headers and length.isdecimal() and int(length) > most:
        raise gzip_body.TooLarge(most)  # before "100 Continue" lets the client send it
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise gzip_body.TooLarge(most)
    return bytes(body)


def _parse_path(method: str, path: str) -> _Target:
    found = {"POST": _PREDICT, "GET": _LOOK}[method].fullmatch(path) if method in ("POST", "GET") else None
    if found is None:
        raise invalid(f"Malformed request: {method} {path}")
    parts = found.groupdict()
    if not parts["name"]:
        raise invalid("Missing model name in request.")
    spec = model_pb2.ModelSpec(name=_decode(parts["name"]))
    if parts["version"]:
        if int(parts["version"]) > _LARGEST_VERSION:
            raise invalid(f"Failed to convert version: {parts['version']} to numeric.")
        spec.version.value = int(parts["version"])
    if parts["label"]:
        spec.version_label = _decode(parts["label"])
    verb = parts.get("verb") or ("metadata" if parts.get("metadata") else "status")
    if method == "POST" and not verb.islower():
        raise invalid(f"Malformed request: {method} {path}")
    return _Target(spec, verb)


def _decode(part: str) -> str:
    return unquote(part, errors="replace")


def deadline_left(deadline: float) -> float:
    """The seconds until a deadline, 0 or more."""
    return max(0.0, deadline - deadline_in(0))


def _to_json(message: Message, **options: bool) -> str:
    return str(json_format.MessageToJson(message, indent=1, **{_PRINT_ALL: True}, **options))


def _json(text: str) -> Response:
    return Response(text, media_type="application/json")


def _error(error: Refused) -> Response:
    status = _TOO_LARGE if isinstance(error, gzip_body.TooLarge) else HTTP_STATUS[error.code]
    return JSONResponse({"error": error.message}, status_code=status)
