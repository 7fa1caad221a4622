"""The socket that a server listens on."""

import socket

from synthmed_tf.errors import SynthMedError


def listen(host: str, port: int) -> socket.socket:
    """Opens a listening socket; port 0 means any free port.

    Raises:
        SynthMedError: the host is not known, or the port is in use or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, OverflowError) as error:
        raise SynthMedError(f"Host {host} is not known ({error}); choose another --host.") from error
    try:
        # Otherwise the port of a server that has just stopped stays blocked for a minute.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except (OSError, OverflowError) as error:
        listening.close()
        why = getattr(error, "strerror", None) or error
        raise SynthMedError(
            f"Port {port} of {host} cannot be listened on ({why}); choose another --rest-port."
        ) from error
    return listening
