"""The command that serves an artifact, or a repository's pages: `synthmed serve`."""

import signal
import threading
from pathlib import Path

import click

from synthmed_tf.cli import site
from synthmed_tf.errors import SynthMedError
from synthmed_tf.serving.limits import Limits

_PORT = click.IntRange(0, 65535)


@click.command()
@click.option("--model", type=click.Path(path_type=Path), help="An artifact with a SavedModel.")
@click.option("--repository", type=click.Path(path_type=Path), help="A repository, in place of --model.")
@site.onnxruntime_web
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 for all that can reach this machine.")
@click.option(
    "--rest-port", "--port", "rest_port", type=_PORT, default=8501, show_default=True, help="0 for any that is free."
)
@click.option("--grpc-port", type=_PORT, default=8500, show_default=True, help="0 for any that is free.")
@click.option("--name", default="synthmed", show_default=True, help="The model's name in requests.")
@click.option("--max-rows", type=click.IntRange(1), default=32, show_default=True, help="Pairs a request and a batch.")
@click.option("--max-queue", type=click.IntRange(1), default=1024, show_default=True, help="Pairs that may wait.")
@click.option("--max-requests", type=click.IntRange(1), default=128, show_default=True, help="Worked on at once.")
@click.option("--max-body-mb", type=click.IntRange(1, 2047), default=64, show_default=True, help="Of a request.")
@click.option("--timeout", type=click.FloatRange(0.01), default=30.0, show_default=True, help="Seconds a request.")
@click.option("--no-batching", is_flag=True, help="Generate each request by itself.")
def serve(
    model,
    repository,
    onnxruntime_web,
    host,
    rest_port,
    grpc_port,
    name,
    max_rows,
    max_queue,
    max_requests,
    max_body_mb,
    timeout,
    no_batching,
):
    """Serves an artifact on this machine as TensorFlow Serving would, by REST and gRPC; or a repository's web pages.

    For notebooks, tests and small teams; put TensorFlow Serving itself where many depend on it. With --repository only
    --host, --port and --onnxruntime-web count.
    """
    if (model is None) == (repository is None):
        raise SynthMedError("Name what to serve: either --model or --repository.")
    if repository is not None:
        site.serve(repository, host, rest_port, onnxruntime_web)
        return
    limits = Limits(max_rows, max_queue, max_requests, max_body_mb * 2**20, timeout, not no_batching)
    _serve_model(model, host, rest_port, grpc_port, name, limits)


def _serve_model(model: Path, host: str, rest_port: int, grpc_port: int, name: str, limits: Limits) -> None:
    try:
        from synthmed_tf.serving.server import Server
    except ImportError as error:
        raise SynthMedError(f"{error.name} is missing; pip install 'synthmed-tf[serving]'.") from error
    # Before the model is opened, so that a signal in between ends this command in the same way.
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server = Server(model, host, rest_port, grpc_port, name, limits)
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"REST on http://{shown}:{server.rest_port}/v1/models/{name}, gRPC on {shown}:{server.grpc_port}")
    stop.wait()
    click.echo("stopping: no new requests; those under way are answered", err=True)
    server.stop()
