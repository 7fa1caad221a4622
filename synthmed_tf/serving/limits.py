"""The limits of `synthmed serve`."""

from dataclasses import dataclass

from synthmed_tf.exporting.artifact import BATCH_SIZES


@dataclass(frozen=True)
class Limits:
    """What a server accepts.

    Attributes:
        rows: pairs in a request, and in a batch.
        queue: pairs that may wait; a request beyond that is UNAVAILABLE.
        requests: requests at once; one more is RESOURCE_EXHAUSTED.
        body_bytes: size of a request, after decompression.
        seconds: time for a request, from its first byte to its answer.
        batching: whether rows of several requests are generated as one batch.
    """

    rows: int = BATCH_SIZES[-1]
    queue: int = 1024
    requests: int = 128
    body_bytes: int = 64 * 2**20
    seconds: float = 30.0
    batching: bool = True
