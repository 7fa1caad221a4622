"""Both interfaces in one process, with a shutdown that finishes the requests it has accepted."""

import threading
from pathlib import Path

import uvicorn

from synthmed_tf.serving import grpc_api, rest_api
from synthmed_tf.serving.limits import Limits
from synthmed_tf.serving.listening import listen
from synthmed_tf.serving.model import Model
from synthmed_tf.serving.service import Service


class Server:
    """A running server.

    Attributes:
        rest_port, grpc_port: the ports that it listens on.
        service: what both interfaces call.
    """

    def __init__(
        self,
        folder: Path,
        host: str = "127.0.0.1",
        rest_port: int = 0,
        grpc_port: int = 0,
        name: str = "synthmed",
        limits: Limits | None = None,
    ):
        """Opens the artifact and starts to serve; port 0 means any free port.

        Raises:
            SynthMedError: the artifact cannot be opened, or a port is in use or not allowed.
        """
        limits = limits or Limits()
        listening = listen(host, rest_port)
        try:
            self.service = Service(Model(name, folder), limits)
            self._grpc, self.grpc_port = grpc_api.start(self.service, host, grpc_port)
        except BaseException:
            listening.close()
            raise
        self.rest_port = listening.getsockname()[1]
        config = uvicorn.Config(
            rest_api.make_app(self.service),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=int(limits.seconds) + 1,
        )
        self._rest = uvicorn.Server(config)
        self._limits = limits
        self._thread = threading.Thread(target=self._rest.run, args=([listening],), name="rest", daemon=True)
        self._thread.start()
        while not self._rest.started and self._thread.is_alive():
            self._thread.join(0.01)

    def stop(self) -> None:
        """Refuses new requests, answers those it has accepted, and ends."""
        self._rest.should_exit = True
        stopped = self._grpc.stop(self._limits.seconds)
        self._thread.join()
        stopped.wait()
        self.service.stop()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
