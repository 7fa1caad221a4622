"""Keeps a repository valid over the years: fresh signatures, and new keys for old ones."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tuf.api.metadata import Metadata, Signed, Targets

from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository import keys as keyring
from synthmed_tf.repository.publish.transaction import WAIT, locked
from synthmed_tf.repository.signed_metadata import Chain, days

_SHARE, _DAYS = 1 / 3, 30
"""A signature is renewed when less than this part of its days is left, and fewer days than these."""


@dataclass(frozen=True)
class Refreshed:
    """What was signed again.

    Attributes:
        signed: the roles.
        missing: by role whose key is not there, the day on which what it signed expires.
    """

    signed: tuple[str, ...]
    missing: dict[str, datetime]


def refresh(repository: Path, keys: Path, say: Callable[[str], None] = lambda line: None) -> Refreshed:
    """Signs the timestamp again, and what else is near its end and has its key there.

    Args:
        repository: its folder.
        keys: the folder with the timestamp's key and, at least now and then, the others.
        say: called with a line while a publisher is waited for.

    Raises:
        SynthMedError: the repository is damaged, a key is missing or wrong, or something cannot be written.
    """
    keys = Path(keys)
    with locked(Path(repository), WAIT, say) as chain:
        root = chain.root.signed
        there = [role for role in keyring.ROLES if keyring.place(keys, role).exists() or role == "timestamp"]
        signers = keyring.read(keys, there, root)
        due = _due(chain)
        missing = {role: signed.expires for role, signed in due.items() if role not in signers}
        if "root" in due and "root" in signers:
            chain.renew_root([signers["root"]])
        changed = {}
        if "targets" in due and "targets" in signers:
            _require_snapshot(signers, keys)
            changed = {name: metadata for name, metadata in _targets(chain).items() if _is_due(chain, metadata.signed)}
        elif "snapshot" in due and "snapshot" in signers:
            chain.renew_snapshot(signers)
        chain.commit(signers, changed)
        return Refreshed(tuple(role for role in due if role in signers), missing)


def rotate(repository: Path, keys: Path, role: str, say: Callable[[str], None] = lambda line: None) -> None:
    """Replaces the key of a role, which is no longer valid then: it was lost, stolen, or is old.

    Each step leaves a repository that clients accept, and the same command resumes. First the
    root allows the new key in addition to the old one, then everything is signed with the new key, then the root
    removes the old one.

    Args:
        repository: its folder.
        keys: the folder with the keys of the root and of the roles that come after `role` in `keys.ROLES`. So where
            all but the root's are lost, begin with the timestamp, and end with the targets.
        role: one of `keys.ROLES`.
        say: called with a line while a publisher is waited for.

    Raises:
        SynthMedError: the repository is damaged, a key is missing or wrong, or something cannot be written.
    """
    keys = Path(keys)
    old, new = keyring.place(keys, role), keyring.place(keys, f"{role}.new")
    with locked(Path(repository), WAIT, say) as chain:
        if role == "root":
            _rotate_root(chain, keys, new)
        else:
            _rotate(chain, keys, role, new)
        os.replace(new, old)


def _rotate_root(chain: Chain, keys: Path, new: Path) -> None:
    root = chain.root.signed
    if new.exists() and keyring.load(new).public_key.keyid in root.roles["root"].keyids:
        return
    old = keyring.read(keys, ["root"], root)["root"]
    signer = keyring.load(new) if new.exists() else keyring.make(new)
    root.add_key(signer.public_key, "root")
    root.revoke_key(old.public_key.keyid, "root")
    chain.renew_root([old, signer])


def _rotate(chain: Chain, keys: Path, role: str, new: Path) -> None:
    root = chain.root.signed
    after = keyring.ROLES[keyring.ROLES.index(role) + 1 :]
    signers = keyring.read(keys, ("root", *after), root)
    signer = signers[role] = keyring.load(new) if new.exists() else keyring.make(new)
    keyid = signer.public_key.keyid
    if root.roles[role].keyids == [keyid]:
        return
    if keyid not in root.roles[role].keyids:
        root.add_key(signer.public_key, role)
        chain.renew_root([signers["root"]])
    changed = {}
    if role == "targets":
        changed = _targets(chain)
        chain.hand_over(signer)
    elif role == "snapshot":
        chain.renew_snapshot(signers)
    chain.commit(signers, changed)
    for other in [other for other in root.roles[role].keyids if other != keyid]:
        root.revoke_key(other, role)
    chain.renew_root([signers["root"]])


def _targets(chain: Chain) -> dict[str, Metadata[Targets]]:
    """All that the targets' key has signed."""
    return {name: chain.role(name) for name in sorted(chain.names)} | {"targets": chain.targets}


def _due(chain: Chain) -> dict[str, Signed]:
    """By role, what of it expires first and soon."""
    first = min((metadata.signed for metadata in _targets(chain).values()), key=lambda signed: signed.expires)
    found = {"root": chain.root.signed, "targets": first, "snapshot": chain.snapshot.signed}
    return {role: signed for role, signed in found.items() if _is_due(chain, signed)}


def _is_due(chain: Chain, signed: Signed) -> bool:
    left = signed.expires - datetime.now(timezone.utc)
    return left < timedelta(days=min(_DAYS, days(chain.root.signed, signed.type) * _SHARE))


def _require_snapshot(signers: keyring.Signers, keys: Path) -> None:
    if "snapshot" not in signers:
        raise SynthMedError(f"{keyring.place(keys, 'snapshot')} is missing; what the targets' key signs needs it too.")
