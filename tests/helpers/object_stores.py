"""Servers of object stores on this machine, each a process of its own: moto for S3, Azurite and fake-gcs-server.

Each is started where it is installed (moto by pip, `azurite-blob` and `fake-gcs-server` on the PATH).
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

_SECONDS_TO_START = 300
SECRET = "a-secret-that-is-nowhere-written"
_AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # public


class Store(NamedTuple):
    """A server.

    Attributes:
        address: of a new bucket.
        port: that it listens on.
        environment: by which the store's own tools find it.
    """

    address: str
    port: int
    environment: dict[str, str]


def why_not(scheme: str) -> str | None:
    """Why a kind of store cannot be tried here, or None."""
    needed = {"s3": ("s3fs", "upath", "moto", "flask"), "gs": ("gcsfs", "upath"), "abfs": ("adlfs", "upath")}[scheme]
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed"
    binary = {"gs": "fake-gcs-server", "abfs": "azurite-blob"}.get(scheme)
    return f"no {binary} on the PATH" if binary and shutil.which(binary) is None else None


@contextlib.contextmanager
def store_of(scheme: str, folder: Path, port: int | None = None) -> Iterator[Store]:
    """Runs a server with one bucket; `port`, if given, is where clients are to look for it instead."""
    own = free_port()
    command, environment, make_bucket = {"s3": _s3, "gs": _gs, "abfs": _abfs}[scheme](own, port or own, folder)
    bucket = f"bucket-{uuid.uuid4().hex[:8]}"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(own, process)
        subprocess.run([sys.executable, "-c", make_bucket, bucket, str(own)], env=os.environ | environment, check=True)
        yield Store(f"{scheme}://{bucket}", own, environment)
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _s3(own: int, port: int, folder: Path) -> tuple[list[str], dict[str, str], str]:
    environment = {
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    make = "import boto3, sys; boto3.client('s3', endpoint_url=f'http://127.0.0.1:{sys.argv[2]}')"
    make += ".create_bucket(Bucket=sys.argv[1])"
    return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(own)], environment, make


def _gs(own: int, port: int, folder: Path) -> tuple[list[str], dict[str, str], str]:
    command = ["fake-gcs-server", "-scheme", "http", "-host", "127.0.0.1", "-port", str(own), "-backend", "memory"]
    command += ["-external-url", f"http://127.0.0.1:{port}"]
    make = "import json, sys, urllib.request as u; u.urlopen(u.Request(f'http://127.0.0.1:{sys.argv[2]}/storage/v1/b', "
    make += "json.dumps({'name': sys.argv[1]}).encode(), {'Content-Type': 'application/json'}))"
    return command, {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"}, make


def _abfs(own: int, port: int, folder: Path) -> tuple[list[str], dict[str, str], str]:
    command = ["azurite-blob", "--blobHost", "127.0.0.1", "--blobPort", str(own), "--location", str(folder)]
    command += ["--skipApiVersionCheck", "--silent", "--disableTelemetry"]
    account = f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={_AZURE_KEY}"
    environment = {
        "AZURE_STORAGE_CONNECTION_STRING": f"{account};BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;",
        "BUCKET_CONNECTION": f"{account};BlobEndpoint=http://127.0.0.1:{own}/devstoreaccount1;",
    }
    make = "import os, sys; from azure.storage.blob import BlobServiceClient as c; "
    make += "c.from_connection_string(os.environ['BUCKET_CONNECTION']).create_container(sys.argv[1])"
    return command, environment, make


def _wait_for(port: int, process: subprocess.Popen) -> None:
    until = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the server of the store did not start (exit code {process.poll()})")
