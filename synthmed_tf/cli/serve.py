"""The command that serves an artifact: `synthmed serve`."""

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from synthmed_tf.cli.options import MODEL, say
from synthmed_tf.extras import require_extra

if TYPE_CHECKING:
    from synthmed_tf.serving.limits import Limits

_PORT = click.IntRange(0, 65535)


@click.command()
@click.option(
    "--model", required=True, type=MODEL, help="An artifact with a SavedModel, or a name that `synthmed models` lists."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0: reachable from other machines.")
@click.option(
    "--rest-port", "--port", "rest_port", type=_PORT, default=8501, show_default=True, help="0: any free port."
)
@click.option("--grpc-port", type=_PORT, default=8500, show_default=True, help="0: any free port.")
@click.option("--name", default="synthmed", show_default=True, help="The name of the model in requests.")
@click.option("--max-rows", type=click.IntRange(1), default=32, show_default=True, help="Pairs in a request or batch.")
@click.option("--max-queue", type=click.IntRange(1), default=1024, show_default=True, help="Pairs that may wait.")
@click.option("--max-requests", type=click.IntRange(1), default=128, show_default=True, help="Requests at once.")
@click.option("--max-body-mb", type=click.IntRange(1, 2047), default=64, show_default=True, help="Of a request.")
@click.option("--timeout", type=click.FloatRange(0.01), default=30.0, show_default=True, help="Seconds a request.")
@click.option("--no-batching", is_flag=True, help="Do not join requests into one batch.")
def serve(
    model, host, rest_port, grpc_port, name, max_rows, max_queue, max_requests, max_body_mb, timeout, no_batching
):
    """Serves an artifact over REST and gRPC.

    The interface is that of TensorFlow Serving. This server is for notebooks, tests and small teams; use TensorFlow
    Serving itself in production.
    """
    require_extra("serving")
    from synthmed_tf.local_copies import local_copy
    from synthmed_tf.serving.limits import Limits

    limits = Limits(max_rows, max_queue, max_requests, max_body_mb * 2**20, timeout, not no_batching)
    _serve(local_copy(model), host, rest_port, grpc_port, name, limits)


def _serve(model: Path, host: str, rest_port: int, grpc_port: int, name: str, limits: "Limits") -> None:
    from synthmed_tf.serving.server import Server

    # Before the model is opened, so that a signal in between ends this command in the same way.
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server = Server(model, host, rest_port, grpc_port, name, limits)
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"REST on http://{shown}:{server.rest_port}/v1/models/{name}, gRPC on {shown}:{server.grpc_port}")
    stop.wait()
    say("stopping: no new requests; requests in progress are answered")
    server.stop()
