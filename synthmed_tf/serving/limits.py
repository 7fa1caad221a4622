"""What a server takes on, and no more."""

from dataclasses import dataclass

from synthmed_tf.exporting.artifact import BATCH_SIZES


@dataclass(frozen=True)
class Limits:
    """Of `synthmed serve`.

    Attributes:
        rows: pairs a request, and a batch that is generated at once.
        queue: pairs that wait to be generated; a request beyond is UNAVAILABLE.
        requests: that are worked on at once; one beyond is RESOURCE_EXHAUSTED.
        body_bytes: of a request.
        seconds: a request may take, from its first byte to its answer.
        batching: whether rows of several requests are generated as one batch.
    """

    rows: int = BATCH_SIZES[-1]
    queue: int = 1024
    requests: int = 128
    body_bytes: int = 64 * 2**20
    seconds: float = 30.0
    batching: bool = True
