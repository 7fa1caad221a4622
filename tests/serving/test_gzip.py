"""Compressed bodies, both ways, and `Expect: 100-continue`."""

import gzip
import json
import shutil
import socket
import subprocess
import tracemalloc
import zlib

import numpy as np
import pytest

pytest.importorskip("tensorflow_serving", reason="needs the extra serving")
pytest.importorskip("uvicorn", reason="needs the extra serving")

import grpc
import requests
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from synthmed_tf.serving import gzip_body
from synthmed_tf.serving.limits import Limits
from synthmed_tf.serving.server import Server
from synthmed_tf.serving.status import Refused

BODY = json.dumps({"signature_name": "pixels", "inputs": {"seed": [3], "index": [5]}}).encode()
PATH = "/v1/models/synthmed:predict"
LIMIT = 100_000


@pytest.fixture(scope="module")
def server(tiny_artifact):
    with Server(tiny_artifact, limits=Limits(body_bytes=LIMIT)) as server:
        yield server


def _post(server, body, **headers):
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(f"http://127.0.0.1:{server.rest_port}{PATH}", data=body, headers=sent, timeout=60)


def test_a_compressed_request_is_the_plain_one(server):
    plain = _post(server, BODY)
    assert plain.status_code == 200
    for coding in ("gzip", "X-GZIP"):
        assert _post(server, gzip.compress(BODY, mtime=0), Content_Encoding=coding).content == plain.content
    two_members = gzip.compress(BODY[:20], mtime=0) + gzip.compress(BODY[20:])
    assert _post(server, two_members, Content_Encoding="gzip").content == plain.content
    assert _post(server, BODY, Content_Encoding="identity").content == plain.content


@pytest.mark.parametrize(
    ("body", "coding", "status", "said"),
    [
        (BODY, "gzip", 400, "cannot be decompressed as gzip (Not a gzipped file ("),
        (gzip.compress(BODY, mtime=0)[:-9], "gzip", 400, "cannot be decompressed as gzip (Compressed file ended"),
        (zlib.compress(BODY), "deflate", 400, "Content-Encoding 'deflate' is not supported"),
        (b"", "gzip", 400, "JSON Parse error: The document is empty"),
        (gzip.compress(b" " * LIMIT + BODY, mtime=0), "gzip", 413, f"is larger than {LIMIT} bytes"),
        (gzip.compress(bytes(LIMIT), mtime=0) * 2, "gzip", 413, f"is larger than {LIMIT} bytes"),
    ],
)
def test_a_body_that_is_not_gzip_or_inflates_too_far(server, body, coding, status, said):
    answer = _post(server, body, Content_Encoding=coding)
    assert answer.status_code == status and said in answer.json()["error"]


def test_a_bomb_is_stopped_at_the_limit():
    """A gigabyte in a megabyte takes the memory of the limit, not of its content."""
    bomb = gzip.compress(bytes(1 << 26), mtime=0) * 16
    tracemalloc.start()
    with pytest.raises(gzip_body.TooLarge):
        gzip_body.decoded(bomb, "gzip", LIMIT)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * LIMIT
    assert gzip_body.decoded(gzip.compress(bytes(LIMIT), mtime=0), "gzip", LIMIT) == bytes(LIMIT)
    with pytest.raises(Refused, match="not supported"):
        gzip_body.decoded(b"", "br", LIMIT)


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("x-gzip", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000, br", False),
        ("notgzip", False),
    ],
)
def test_the_reply_is_compressed_where_that_is_asked_for(server, header, accepted):
    assert gzip_body.is_accepted(header) == accepted
    answer = requests.post(
        f"http://127.0.0.1:{server.rest_port}{PATH}",
        data=BODY,
        headers={"Accept-Encoding": header},
        timeout=60,
        stream=True,
    )
    assert (answer.headers.get("Content-Encoding") == "gzip") == accepted
    assert answer.headers["Vary"] == "Accept-Encoding"
    raw = answer.raw.read(decode_content=False)
    assert int(answer.headers["Content-Length"]) == len(raw)
    pixels = json.loads(gzip.decompress(raw) if accepted else raw)["outputs"]
    assert np.shape(pixels["image"]) == (1, 32, 32, 3)


def _headers(length):
    lines = (f"POST {PATH} HTTP/1.1", "Host: x", f"Content-Length: {length}", "Expect: 100-continue")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


def test_a_client_that_waits_for_100_continue(server):
    with socket.create_connection(("127.0.0.1", server.rest_port), 60) as connection:
        connection.sendall(_headers(len(BODY)))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(BODY)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    with socket.create_connection(("127.0.0.1", server.rest_port), 60) as connection:
        connection.sendall(_headers(LIMIT + 1))
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_curl_sends_and_reads_gzip(server, tmp_path):
    curl = shutil.which("curl") or pytest.skip("curl is not installed")
    (tmp_path / "body.gz").write_bytes(gzip.compress(BODY, mtime=0))
    options = ["--silent", "--fail", "--compressed", "-H", "Content-Encoding: gzip", "-H", "Expect: 100-continue"]
    url = f"http://127.0.0.1:{server.rest_port}{PATH}"
    command = [curl, *options, "--data-binary", f"@{tmp_path / 'body.gz'}", url]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) == _post(server, BODY).json()


def test_grpc_compressed_by_the_client_is_limited_after_decompression(server):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "synthmed"
    request.inputs["seed"].CopyFrom(tf.make_tensor_proto(np.array([3])))
    request.inputs["index"].CopyFrom(tf.make_tensor_proto(np.array([5])))
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", compression=grpc.Compression.Gzip) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        assert stub.Predict(request, timeout=60).outputs["mask_bytes"].string_val[0].startswith(b"\x89PNG")
        request.inputs["seed"].tensor_content = bytes(8 * LIMIT)
        with pytest.raises(grpc.RpcError) as refused:
            stub.Predict(request, timeout=60)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
