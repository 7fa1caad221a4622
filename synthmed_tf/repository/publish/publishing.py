"""Adds a version to a repository, and takes one out of circulation."""

import dataclasses
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pydantic

from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository.entry import ENTRY, TOMBSTONE, Entry, Tombstone, Withdrawal, split
from synthmed_tf.repository.publish import building, transaction
from synthmed_tf.repository.publish.transaction import WAIT, Transaction

Progress = Callable[[int, int], None]
Say = Callable[[str], None]


def publish(
    repository: Path,
    keys: Path,
    request: building.Request,
    progress: Progress = lambda done, total: None,
    say: Say = lambda line: None,
    wait: float = WAIT,
) -> bool:
    """Adds a version, whole or not at all. Repeating it changes nothing.

    Args:
        repository: its folder.
        keys: the folder with its keys.
        request: what is to be published.
        progress: called with (done, total).
        say: called with a line while another publisher is waited for.
        wait: seconds for that.

    Returns:
        Whether it is new.

    Raises:
        SynthMedError: the version is there with other content or was withdrawn, or it cannot be built, signed or
            written.
    """
    with transaction.opened(repository, keys, wait, say) as opened:
        there = opened.rows.get(f"{request.name}@{request.version}")
        if there is None:
            entry = building.build(request, opened.stage(request.name, request.version), progress)
            row = building.row(entry)
            opened.rows[row.id] = row
            return True
        if there.withdrawn is not None:
            raise SynthMedError(
                f"{there.id} was withdrawn on {there.withdrawn.date:%Y-%m-%d} and cannot come back; choose another "
                "--version."
            )
        _check_same(opened, request, progress)
        return False


def _check_same(opened: Transaction, request: building.Request, progress: Progress) -> None:
    """Builds the version again as of the day it was published on, and compares."""
    old = Entry.model_validate_json(opened.file(request.name, request.version, ENTRY))
    folder = opened.stage(request.name, request.version)
    building.build(dataclasses.replace(request, published=old.published), folder, progress)
    differing = opened.differing(request.name, request.version)
    opened.discard(request.name, request.version)
    if differing:
        named = ", ".join(differing[:3]) + (f" and {len(differing) - 3} more" if len(differing) > 3 else "")
        raise SynthMedError(
            f"{request.name}@{request.version} is published with other content ({named}); a version does not change: "
            "choose another --version."
        )


def withdraw(
    repository: Path,
    keys: Path,
    name_and_version: str,
    reason: str,
    say: Say = lambda line: None,
    wait: float = WAIT,
) -> bool:
    """Takes a version out of circulation for good, and leaves a tombstone. Repeating it changes nothing.

    Args:
        repository: its folder.
        keys: the folder with its keys.
        name_and_version: such as `retina-chase@1.0.0`.
        reason: that everybody will read.
        say: called with a line while another publisher is waited for.
        wait: seconds for that.

    Returns:
        Whether it was in circulation.

    Raises:
        SynthMedError: there is no such version, or the reason is empty or too long, or something cannot be written.
    """
    with transaction.opened(repository, keys, wait, say) as opened:
        row = opened.rows.get(name_and_version)
        if row is None:
            raise SynthMedError(f"{repository} has no {name_and_version}; {_there(opened, split(name_and_version)[0])}")
        if row.withdrawn is not None:
            return False
        withdrawal = _withdrawal(reason)
        tombstone = Tombstone(name=row.name, version=row.version, title=row.title, withdrawal=withdrawal)
        content = tombstone.model_dump_json(indent=2) + "\n"
        (opened.stage(row.name, row.version) / TOMBSTONE).write_text(content, encoding="utf-8")
        changed = {"withdrawn": withdrawal, "thumbnail": None, "generator": False}
        opened.rows[row.id] = row.model_copy(update=changed)
        return True


def _withdrawal(reason: str) -> Withdrawal:
    now = datetime.now(timezone.utc).replace(microsecond=0)
    try:
        if reason.strip():
            return Withdrawal(date=now, reason=reason)
    except pydantic.ValidationError:
        pass
    raise SynthMedError(f"Option --reason has {len(reason)} characters; it must say why, in at most 10000.")


def _there(opened: Transaction, name: str) -> str:
    versions = [row.version for row in opened.index.entries if row.name == name]
    if versions:
        return f"of {name} there are {', '.join(versions)}."
    return "name it as retina-chase@1.0.0; synthmed search lists what there is."
