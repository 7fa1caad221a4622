"""A TCP proxy on this machine that makes a connection bad: cut, slow or refused."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

_BLOCK = 1 << 14


class TcpProxy:
    """Forwards connections to a port.

    Attributes:
        port: to connect to.
        cuts: number of connections that are still to be cut; each is closed in the middle of what is sent or received.
        cut_after: bytes in one direction after which it is closed.
        pause: seconds to wait before each block is passed on.
        cut: number of connections that were cut.
    """

    def __init__(self, target: int, port: int = 0):
        self._target = target
        self.cuts, self.cut_after, self.pause, self.cut = 0, 1000, 0.0, 0
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", port))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """From now on connections are refused."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while block := source.recv(_BLOCK):
                time.sleep(self.pause)
                passed += len(block)
                if passed > self.cut_after and self._may_cut():
                    target.sendall(block[: len(block) // 2])
                    break
                target.sendall(block)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _may_cut(self) -> bool:
        with self._lock:
            if self.cuts == 0:
                return False
            self.cuts -= 1
            self.cut += 1
            return True


@contextlib.contextmanager
def proxy_to(port: int) -> Iterator[TcpProxy]:
    """A proxy that is closed at the end."""
    proxy = TcpProxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
