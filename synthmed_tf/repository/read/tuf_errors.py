"""What is wrong with a repository, in sentences: which attack or accident the metadata's checks have met."""

import contextlib
import re
from collections.abc import Iterator

from tuf.api import exceptions
from tuf.api.serialization import DeserializationError

from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository.paths import plain
from synthmed_tf.repository.read.fetching import Source

_EXPIRED = re.compile(r"(?:Final |New )?(?P<file>\S+?)(?:\.json)? is expired")
_KEPT = "; nothing of it was used"


class Untrusted(SynthMedError):
    """What came is not what is signed; it may be that a publisher wrote while it was read."""


class Unreachable(SynthMedError):
    """Nothing came, or not all of it."""


@contextlib.contextmanager
def as_sentences(source: Source, file: str | None = None) -> Iterator[None]:
    """Turns the errors of The Update Framework's client into sentences.

    Args:
        source: that is read.
        file: below it that is read; if omitted, the one that was requested last.

    Raises:
        Untrusted: it came, and is not to be trusted, and why.
        Unreachable: it did not come, and why.
    """
    try:
        yield
    except exceptions.RepositoryError as error:
        raise Untrusted(f"{source}: {_untrusted(error, file or source.asked)}") from error
    except exceptions.DownloadLengthMismatchError as error:
        raise Untrusted(
            f"{source}: {plain(file or source.asked)} is longer than what is signed or allowed, or does not end{_KEPT}."
        ) from error
    except exceptions.DownloadError as error:
        raise Unreachable(f"{source}: {_unreachable(error, file or source.asked, source.remedy)}") from error


def _untrusted(error: exceptions.RepositoryError, file: str) -> str:
    file, said = plain(file), str(error)
    if isinstance(error, exceptions.ExpiredMetadataError):
        found = _EXPIRED.match(said)
        expired = plain(found["file"]) if found else file
        return (
            f"the metadata is frozen: {expired} has expired, so that what is new may be kept from you{_KEPT}; ask the "
            "publisher to run synthmed repository refresh."
        )
    if isinstance(error, exceptions.UnsignedMetadataError):
        return (
            f"{file} is not signed with the keys that are trusted{_KEPT}; ask the publisher whether the keys have "
            "changed."
        )
    if isinstance(error, exceptions.BadVersionNumberError) and _is_mixed(file, said):
        return f"the metadata is mixed: {file} is of another state than the rest ({plain(said)}){_KEPT}."
    if isinstance(error, exceptions.BadVersionNumberError):
        return f"the metadata was rolled back: {file} is older than what was seen before ({plain(said)}){_KEPT}."
    if isinstance(error, exceptions.LengthOrHashMismatchError):
        return f"{file} was changed, swapped or cut short: it is not the file that is signed{_KEPT}."
    if isinstance(error, DeserializationError):
        return f"{file} is damaged or cut short: it is no metadata{_KEPT}."
    if said.startswith("New snapshot is missing"):
        return f"the metadata was rolled back: {file} has lost what was announced before ({plain(said)}){_KEPT}."
    return f"{file} is not to be trusted ({plain(said)}){_KEPT}."


def _is_mixed(file: str, said: str) -> bool:
    """Whether the versions differ within one state, and not from what was seen before.

    A timestamp is compared with what was seen before, a root or a targets file with what announced it. A snapshot is
    compared with both, and python-tuf's errors, which have no fields, tell the two apart by their text alone.
    """
    if file.endswith(".snapshot.json"):
        return said.startswith("Expected snapshot version")
    return file != "metadata/timestamp.json"


def _unreachable(error: exceptions.DownloadError, file: str, remedy: str) -> str:
    file, cause = plain(file), error.__cause__ or error
    if isinstance(error, exceptions.DownloadHTTPError):
        if error.status_code in (403, 404) and file in ("metadata/1.root.json", "metadata/timestamp.json"):
            return f"there is no repository here ({file} is missing); check the address."
        if error.status_code in (403, 404):
            return f"{file} is missing{_KEPT}; try again, or ask the publisher."
        return f"the host refuses {file} with HTTP status {error.status_code}; try again later."
    if isinstance(error, exceptions.SlowRetrievalError):
        return f"{file} comes too slowly or not at all; the same command goes on when the network does."
    said = plain(str(cause) if str(error).startswith("Failed to download") else str(error))
    return f"{file} could not be read ({said}); {remedy}, and run the same command again."
