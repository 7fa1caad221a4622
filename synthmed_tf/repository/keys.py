"""The keys that a publisher signs with: an ed25519 key for each role of The Update Framework, in a PEM file each."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Root

from synthmed_tf import files
from synthmed_tf.errors import SynthMedError

ROLES = ("root", "targets", "snapshot", "timestamp")
ONLINE = ("targets", "snapshot", "timestamp")
"""What publishing needs; the root's key can stay offline."""

Signers = dict[str, CryptoSigner]
"""By role."""


def place(folder: Path, role: str) -> Path:
    """The file that holds a role's key."""
    return folder / f"{role}.pem"


def make(path: Path) -> CryptoSigner:
    """Makes a key and writes it into a file that its owner alone can read.

    Raises:
        OSError: it cannot be written.
    """
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{files.PART}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(descriptor)
    os.replace(temporary, path)
    files.sync(path.parent)
    return CryptoSigner(private)


@contextlib.contextmanager
def made(folder: Path) -> Iterator[Signers]:
    """Makes a key for each role, and removes them again where what they are made for goes wrong.

    Raises:
        SynthMedError: the folder holds a key.
        OSError: they cannot be written.
    """
    there = [place(folder, role) for role in ROLES if place(folder, role).exists()]
    if there:
        raise SynthMedError(f"{there[0]} is there; keys are not overwritten: choose another --keys.")
    try:
        yield {role: make(place(folder, role)) for role in ROLES}
    except BaseException:
        for role in ROLES:
            place(folder, role).unlink(missing_ok=True)
        raise


def read(folder: Path, roles: Iterable[str], root: Root) -> Signers:
    """The keys of some roles.

    Args:
        folder: with the keys.
        roles: whose keys are wanted.
        root: says which keys they have to be.

    Raises:
        SynthMedError: a key is missing, cannot be read, or is not that of the repository.
    """
    signers = {}
    for role in roles:
        if len(root.roles[role].keyids) > 1:
            raise SynthMedError(
                f"The repository is between two {role} keys; run synthmed repository rotate --role {role} again, which "
                "was stopped."
            )
        signers[role] = load(place(folder, role))
        if signers[role].public_key.keyid not in root.roles[role].keyids:
            raise SynthMedError(
                f"{place(folder, role)} is not the {role} key of this repository; name the folder that holds its keys "
                "by --keys or SYNTHMED_KEYS."
            )
    return signers


def load(path: Path) -> CryptoSigner:
    """The key in a file.

    Raises:
        SynthMedError: there is none, or it cannot be read.
    """
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), None)
    except (FileNotFoundError, NotADirectoryError):
        raise SynthMedError(
            f"{path} is missing; name the folder with the repository's keys by --keys or SYNTHMED_KEYS."
        ) from None
    except OSError as error:
        raise SynthMedError(f"{path} cannot be read ({error.strerror}); see to its owner and mode.") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SynthMedError(f"{path} is not a key in PEM without a passphrase; restore it from its backup.") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise SynthMedError(f"{path} is not an ed25519 key; restore it from its backup.")
    return CryptoSigner(private)
