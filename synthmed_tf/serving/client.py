"""Generates pairs on a server, `synthmed serve` or TensorFlow Serving, over REST or gRPC."""

import functools
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from synthmed_tf import images as image_files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.serving.limits import BATCH_SIZES
from synthmed_tf.serving.transports import Failed, Grpc, Rest

Answer = TypeVar("Answer")
_SIGNATURE = "serving_default"
_WANTED = {
    "inputs": {"seed": ("DT_INT64", (-1,)), "index": ("DT_INT64", (-1,))},
    "outputs": {"mask_bytes": ("DT_STRING", (-1,)), "image_bytes": ("DT_STRING", (-1,))},
}
_FIRST_PAUSE = 0.1


class Client:
    """A connection to a model of this package on a server.

    A request is repeated if that can help (the server is busy, starting or cannot be reached), and only then. That is
    safe, because a request for the same seed and index always gives the same image.

    Example:
        with Client("http://localhost:8501") as client:
            masks, images = client.pixels([0, 0], [42, 43])
    """

    def __init__(
        self, url: str, model: str = "synthmed", batch_size: int = 16, seconds: float = 60.0, retries: int = 4
    ):
        """Connects, and checks that the model is one of this package.

        Args:
            url: `http://host:8501` for REST, `grpc://host:8500` for gRPC.
            model: the name of the model on the server.
            batch_size: pairs in a request, from 1 to 32.
            seconds: timeout of a request.
            retries: how often a request is repeated, after pauses of 0.1 s, 0.2 s, 0.4 s, ...

        Raises:
            SynthMedError: the URL has another scheme, the server cannot be reached, or its model is not one of this
                package.
        """
        scheme, _, address = url.partition("://")
        if scheme not in ("http", "https", "grpc") or not address:
            raise SynthMedError(f"The server's URL is {url}; it must begin with http://, https:// or grpc://.")
        if not 1 <= batch_size <= BATCH_SIZES[-1]:
            raise SynthMedError(f"The batch size is {batch_size}; it must be from 1 to {BATCH_SIZES[-1]}.")
        self._url, self._model, self._batch_size, self._retries = url, model, batch_size, retries
        self._transport = Grpc(address, model, seconds) if scheme == "grpc" else Rest(url, model, seconds)
        try:
            self._check_signature()
        except BaseException:
            self.close()
            raise

    def png(self, seed: np.ndarray, index: np.ndarray) -> tuple[list[bytes], list[bytes]]:
        """Generates pairs as PNG files.

        Args:
            seed, index: `(n,)` integers; an index is 0 or more.

        Returns:
            The files of n masks and of n images.

        Raises:
            SynthMedError: the server refuses the request, stays too busy, or can no longer be reached.
        """
        seed, index = (np.atleast_1d(np.asarray(values, np.int64)) for values in (seed, index))
        if seed.shape != index.shape or seed.ndim != 1 or (index < 0).any():
            raise SynthMedError(
                f"Seeds of shape {seed.shape} and indices of shape {index.shape} (smallest "
                f"{index.min(initial=0)}) are given; both must be of one shape (n,), and an index 0 or more."
            )
        masks: list[bytes] = []
        images: list[bytes] = []
        for start in range(0, len(seed), self._batch_size):
            part = slice(start, start + self._batch_size)
            request = functools.partial(self._transport.predict, seed[part], index[part])
            generated = self._ask(request, f"after {start} of {len(seed)} pairs")
            masks += generated[0]
            images += generated[1]
        return masks, images

    def pixels(self, seed: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Generates pairs as arrays: masks `(n, size, size, 1)` and images `(n, size, size, 3)`, uint8.

        Raises:
            SynthMedError: as for `png`.
        """
        masks, images = (np.stack([image_files.decode_png(file) for file in files]) for files in self.png(seed, index))
        return masks, images

    def pairs(self, count: int, seed: int = 0, first_index: int = 0) -> Iterator[tuple[int, bytes, bytes]]:
        """Yields (index, mask, image) of one pair after another, as PNG files; memory does not grow with `count`."""
        for start in range(first_index, first_index + count, self._batch_size):
            index = np.arange(start, min(start + self._batch_size, first_index + count))
            yield from zip(index.tolist(), *self.png(np.full_like(index, seed), index), strict=True)

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _check_signature(self) -> None:
        found = self._ask(lambda: self._transport.signature(_SIGNATURE), "on connecting")
        for side, wanted in _WANTED.items():
            there = (found or {}).get(side, {})
            if there != wanted:
                raise SynthMedError(
                    f"Model {self._model} at {self._url} is not a model of synthmed: the {side} of its {_SIGNATURE} "
                    f"are {there or 'missing'}, not {wanted}; name another model or server."
                )

    def _ask(self, request: Callable[[], Answer], when: str) -> Answer:
        for attempt in range(self._retries + 1):
            try:
                return request()
            except Failed as error:
                if not error.retried or attempt == self._retries:
                    raise SynthMedError(
                        f"The server at {self._url} did not answer for model {self._model} {when}: {error}; "
                        + ("check that it runs and try again." if error.retried else "change the request.")
                    ) from error
            time.sleep(_FIRST_PAUSE * 2**attempt)
        raise AssertionError("unreachable")
