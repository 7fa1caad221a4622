"""Errors of both interfaces: a message and a code, which is a number in HTTP and a name in gRPC."""

HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INTERNAL": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""As TensorFlow Serving maps them (`http_server.cc`)."""

LONGEST_MESSAGE = 1024


class Refused(Exception):
    """A request that cannot be answered.

    Attributes:
        code: the name of a gRPC status code, a key of `HTTP_STATUS`.
        message: for the client.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> Refused:
    """The error for a request that is wrong."""
    return Refused("INVALID_ARGUMENT", message)


def shortened(message: str) -> str:
    """A message cut to the length that TensorFlow Serving allows in gRPC's trailers."""
    return message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE] + "...TRUNCATED"
