"""Errors as both interfaces tell them: one code and one message, in REST's numbers or in gRPC's names."""

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
    """A request that is not answered with images.

    Attributes:
        code: a gRPC code's name, a key of `HTTP_STATUS`.
        message: for whoever sent the request.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> Refused:
    """What is the sender's fault."""
    return Refused("INVALID_ARGUMENT", message)


def shortened(message: str) -> str:
    """As TensorFlow Serving cuts messages in gRPC's trailers."""
    return message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE] + "...TRUNCATED"
