"""Makes a new repository of The Update Framework with its keys."""

from pathlib import Path

import pydantic
from tuf.api.metadata import Delegations, Root, Snapshot, Targets, Timestamp

from synthmed_tf import files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository import keys as keyring
from synthmed_tf.repository.entry import Index
from synthmed_tf.repository.signed_metadata import METADATA, Chain, set_days, unsigned

DAYS = {"root": 730, "targets": 365, "snapshot": 90, "timestamp": 30}
"""For how many days a signature is good."""


def init(repository: Path, keys: Path, title: str, expires_days: int = DAYS["timestamp"]) -> str:
    """Makes an empty repository, and its keys in a folder outside of it.

    Args:
        repository: a folder that is not there, or empty.
        keys: the folder for the keys.
        title: of the repository.
        expires_days: for how long clients trust it without a signature being renewed.

    Returns:
        The fingerprint that clients compare.

    Raises:
        SynthMedError: there is something already, the keys would lie inside, or something cannot be written.
    """
    repository, keys = Path(repository), Path(keys)
    try:
        index = Index(title=title)
    except pydantic.ValidationError:
        raise SynthMedError(f"The title has {len(title)} characters; it must have 1 to 300.") from None
    if keys.resolve() == repository.resolve() or repository.resolve() in keys.resolve().parents:
        raise SynthMedError(f"{keys} lies in {repository}, which is for all to see; keep the keys elsewhere.")
    try:
        if repository.exists() and any(repository.iterdir()):
            raise SynthMedError(f"{repository} is there and not empty; choose another folder.")
        with keyring.made(keys) as signers, files.replaced_folder(repository) as new:
            _write_first(new, signers, index, expires_days)
            return fingerprint(new)
    except OSError as error:
        raise SynthMedError(
            f"{error.filename or repository} cannot be written ({error.strerror}); put this right and run the same "
            "command again."
        ) from error


def fingerprint(repository: Path) -> str:
    """The SHA-256 of the first root: it stays, and all later ones follow from it."""
    return files.sha256(repository / METADATA / "1.root.json")


def _write_first(folder: Path, signers: keyring.Signers, index: Index, expires_days: int) -> None:
    root = Root(consistent_snapshot=True)
    for role, signer in signers.items():
        root.add_key(signer.public_key, role)
        set_days(root, role, expires_days if role == "timestamp" else max(DAYS[role], expires_days))
    key = signers["targets"].public_key
    targets = Targets(delegations=Delegations({key.keyid: key}, {}))
    chain = Chain(folder, *map(unsigned, (root, Timestamp(), Snapshot(), targets)))
    chain.renew_root([signers["root"]])
    chain.announce_index(index)
    chain.commit(signers, {"targets": chain.targets})
    chain.copy_index()
