"""`synthmed serve` under load and under fire: no wrong image, no failure that is not the client's, no growth."""

import json
import random
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow_serving", reason="needs the extra serving")
pytest.importorskip("uvicorn", reason="needs the extra serving")

import grpc
import requests
from helpers.paths import ENVIRONMENT

from synthmed_tf.exporting import artifact
from synthmed_tf.serving.client import Client

POOL = 256
_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_CLIENTS_FAULT = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
}
_BODIES = (
    b'{"instances": [{"seed": 3, "index": 5}, {"index": 9, "seed": -4}]}',
    b'{"signature_name": "pixels", "inputs": {"seed": [3, -4], "index": [5, 9]}}',
    b'{"inputs": {"seed": [1.5], "index": [{"b64": "AAAA"}]}, "instances": null}',
)


class Served:
    """A server in a process of its own."""

    def __init__(self, folder: Path):
        command = [sys.executable, "-m", "synthmed_tf", "serve", "--model", str(folder)]
        environment = ENVIRONMENT
        self.process = subprocess.Popen(
            [*command, "--rest-port", "0", "--grpc-port", "0"], stdout=subprocess.PIPE, text=True, env=environment
        )
        said = re.search(r"REST on (http://[^/]+)/\S+, gRPC on (\S+)", self.process.stdout.readline())
        self.rest, self.grpc = said[1], said[2]

    def resident(self) -> int:
        """Bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status)[1])


@pytest.fixture(scope="module")
def served(tiny_artifact):
    server = Served(tiny_artifact)
    yield server
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0


@pytest.fixture(scope="module")
def images(tiny_artifact):
    """Masks and images of seed 7, generated without a server."""
    return artifact.open_artifact(tiny_artifact, "savedmodel").pixels(np.full(POOL, 7), np.arange(POOL))


def _load(served, images, clients, asked):
    """Generates with many clients at once, of both kinds and in mixed batches."""

    def ask(number):
        rng = np.random.default_rng(number)
        with Client(served.rest if number % 2 else f"grpc://{served.grpc}", batch_size=32) as client:
            for _ in range(asked // clients):
                index = rng.integers(0, POOL, rng.integers(1, 33))
                masks, pixels = client.pixels(np.full_like(index, 7), index)
                np.testing.assert_array_equal(masks, images[0][index])
                assert np.abs(pixels.astype(int) - images[1][index]).max() <= 1
        return asked // clients

    with ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(ask, range(clients)))


def _changed(content: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, taken out, doubled or put in."""
    content = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        place = rng.randrange(len(content) + 1)
        kind = rng.randrange(4)
        if kind == 0 and place < len(content):
            content[place] = rng.randrange(256)
        elif kind == 1:
            del content[place : place + rng.randint(1, 4)]
        elif kind == 2:
            content[place:place] = content[place : place + rng.randint(1, 20)]
        else:
            content[place:place] = bytes(rng.choice(b'[]{}",:0-9eE.\\') for _ in range(rng.randint(1, 5)))
    return bytes(content)


def _fire(served, count):
    """Sends damaged requests over both interfaces. Returns the answers' codes."""
    from tensorflow_serving.apis import predict_pb2

    message = predict_pb2.PredictRequest()
    message.model_spec.name = "synthmed"
    for name in ("seed", "index"):
        proto = message.inputs[name]
        proto.dtype, proto.int64_val[:] = 9, [3, 4]
        proto.tensor_shape.dim.add().size = 2
    rng, codes = random.Random(0), set()
    with requests.Session() as session, grpc.insecure_channel(served.grpc) as channel:
        predict = channel.unary_unary(_PREDICT)
        for number in range(count):
            if number % 2:
                body = _changed(rng.choice(_BODIES), rng)
                answer = session.post(f"{served.rest}/v1/models/synthmed:predict", data=body, timeout=60)
                codes.add(answer.status_code)
                if answer.status_code != 200:
                    assert json.loads(answer.content)["error"], body
                continue
            try:
                predict(_changed(message.SerializeToString(), rng), timeout=60)
                codes.add(grpc.StatusCode.OK)
            except grpc.RpcError as error:
                codes.add(error.code())
    return codes


def test_mixed_batches_of_many_clients_are_the_right_images(served, images):
    assert _load(served, images, clients=8, asked=48) == 48


def test_damaged_requests_are_the_clients_fault_and_harm_no_one(served, images):
    assert _fire(served, 200) <= {200, 400, 404} | _CLIENTS_FAULT
    assert _load(served, images, clients=2, asked=4) == 4


@pytest.mark.slow
def test_two_thousand_requests_and_as_many_damaged_ones_leave_memory_as_it_was(served, images):
    _load(served, images, clients=32, asked=256)
    _fire(served, 200)
    before = served.resident()
    assert _load(served, images, clients=32, asked=2_000) == 1_984  # 62 for each client
    assert _fire(served, 4_000) <= {200, 400, 404} | _CLIENTS_FAULT
    assert served.resident() < before + 64 * 2**20
    assert _load(served, images, clients=2, asked=4) == 4
