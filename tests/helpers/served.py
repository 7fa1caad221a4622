"""What the tests of serving talk to: TensorFlow Serving where there is one, else `synthmed serve`.

TF_SERVING_URL and TF_SERVING_GRPC name a running one that serves SERVED_ARTIFACT, a model of 32 pixels, as `synthmed`;
otherwise `tensorflow_model_server` is started where it is on the PATH.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from synthmed_tf.serving.server import Server

BINARY = "tensorflow_model_server"
BY_TENSORFLOW_SERVING = "TF_SERVING_URL" in os.environ or shutil.which(BINARY) is not None
OURS_ONLY = pytest.mark.skipif(BY_TENSORFLOW_SERVING, reason="a rule of synthmed serve alone")
_SECONDS_TO_START = 120


class Served(NamedTuple):
    """A server's REST URL, its gRPC address, and the artifact that it serves."""

    url: str
    grpc: str
    artifact: Path


@contextlib.contextmanager
def served_artifact(artifact: Path) -> Iterator[Served]:
    """Serves an artifact, or gives what the environment names."""
    if "TF_SERVING_URL" in os.environ:
        folder = Path(os.environ["SERVED_ARTIFACT"])
        yield Served(os.environ["TF_SERVING_URL"], os.environ["TF_SERVING_GRPC"], folder)
    elif BY_TENSORFLOW_SERVING:
        with tensorflow_serving(artifact) as ports:
            yield Served(f"http://127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}", artifact)
    else:
        with Server(artifact) as server:
            yield Served(f"http://127.0.0.1:{server.rest_port}", f"127.0.0.1:{server.grpc_port}", artifact)


@contextlib.contextmanager
def tensorflow_serving(artifact: Path) -> Iterator[tuple[int, int]]:
    """Runs TensorFlow Serving; gives its ports of REST and gRPC once the model is there."""
    ports = tuple(_free_port() for _ in range(2))
    flags = [f"--rest_api_port={ports[0]}", f"--port={ports[1]}", "--model_name=synthmed"]
    process = subprocess.Popen([BINARY, *flags, f"--model_base_path={artifact / 'savedmodel'}"])
    try:
        _wait_for(f"http://127.0.0.1:{ports[0]}/v1/models/synthmed", process)
        yield ports
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen) -> None:
    until = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(url, timeout=10).ok:
                return
        time.sleep(0.2)
    raise RuntimeError(f"{BINARY} did not serve the model (exit code {process.poll()}).")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
