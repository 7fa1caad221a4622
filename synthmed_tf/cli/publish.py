"""The commands that change a repository: publish, withdraw, and what the group `repository` holds for its owner."""

import contextlib
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import click

from synthmed_tf.cli import terminal
from synthmed_tf.errors import SynthMedError

_FOLDER = click.Path(path_type=Path)
_ROLES = ("root", "targets", "snapshot", "timestamp")

_repository = click.option("--repository", required=True, type=_FOLDER, help="The repository's folder.")
_keys = click.option(
    "--keys", required=True, type=_FOLDER, envvar="SYNTHMED_KEYS", help="The folder with its keys; or SYNTHMED_KEYS."
)
_wait = click.option(
    "--wait", type=click.IntRange(0), default=600, show_default=True, help="Seconds to wait for another publisher."
)


@click.command()
@click.argument("folder", metavar="SET", type=_FOLDER)
@_repository
@_keys
@click.option("--name", required=True, help="Such as retina-chase.")
@click.option("--version", required=True, help="Such as 1.0.0; what is published under it never changes.")
@click.option("--title", required=True)
@click.option("--description", help="Of the set, as plain text.")
@click.option("--description-file", type=_FOLDER, help="A text file that holds it.")
@click.option("--license", "--licence", "license", required=True, help="Of the set, such as CC-BY-4.0.")
@click.option("--creator", "creators", multiple=True, required=True, help="May be repeated.")
@click.option("--keyword", "keywords", multiple=True, help="May be repeated.")
@click.option("--organ", help="What the images show; retina if left.")
@click.option("--modality", help="How they are taken; fundus photography if left.")
@click.option("--training-data", "data_name", help="Name of the data that the generator was trained on.")
@click.option("--training-license", "--training-licence", "data_license", help="Its license.")
@click.option("--training-attribution", "data_attribution", help="Whom it asks to be named.")
@click.option("--training-url", "data_url", help="Where it is.")
@click.option("--report", type=_FOLDER, help="A report of synthmed evaluate on it; names of real files are left out.")
@click.option(
    "--full-report",
    is_flag=True,
    help="Leave the names in the report; it must hold no real image.",
)
@click.option("--artifact", type=_FOLDER, help="Share the generator that generated the set.")
@click.option("--format", "formats", help="Several with commas; imagefolder,tfrecord if left.")
@_wait
def publish(folder, repository, keys, description, description_file, formats, wait, **given):
    """Adds SET to a repository as one version, whole or not at all.

    The same command again changes nothing.
    """
    with _needing_packages():
        from synthmed_tf.repository.publish import building, publishing

    stated = {name: value for name, value in given.items() if value is not None}
    if formats is not None:
        stated["formats"] = tuple(part.strip() for part in formats.split(",") if part.strip())
    request = building.Request(
        set=folder,
        description=_description(description, description_file),
        published=datetime.now(timezone.utc).replace(microsecond=0),
        **stated,
    )
    with terminal.bar("pairs") as progress:
        new = publishing.publish(repository, keys, request, progress, _say, wait)
    name = f"{request.name}@{request.version}"
    if new:
        click.echo(f"{name} is in {repository}; upload it as docs/repository.md says")
    else:
        click.echo(f"{name} is in {repository} already, with the same content; nothing was changed")


@click.command()
@click.argument("name", metavar="NAME@VERSION")
@_repository
@_keys
@click.option("--reason", required=True, help="Why; everybody will read it.")
@_wait
def withdraw(name: str, repository: Path, keys: Path, reason: str, wait: int) -> None:
    """Takes a version out of circulation for good, and leaves a tombstone.

    Whoever has downloaded it has it: this stops new downloads, and tells those who look.
    """
    with _needing_packages():
        from synthmed_tf.repository.publish import publishing

    new = publishing.withdraw(repository, keys, name, reason, _say, wait)
    click.echo(f"{name} is withdrawn" if new else f"{name} was withdrawn already; nothing was changed")


@click.command()
@click.argument("repository", metavar="REPO", type=_FOLDER)
@_keys
@click.option("--title", required=True, help="Of the repository.")
@click.option(
    "--expires-days",
    type=click.IntRange(1, 3650),
    default=30,
    show_default=True,
    help="How long clients trust it after the last change or refresh.",
)
def init(repository: Path, keys: Path, title: str, expires_days: int) -> None:
    """Makes an empty repository, and its keys in a folder outside of it."""
    with _needing_packages():
        from synthmed_tf.repository.publish import new_repository

    fingerprint = new_repository.init(repository, keys, title, expires_days)
    click.echo(f"fingerprint {fingerprint}")
    click.echo(f"{repository} is an empty repository; tell its users the fingerprint by another way than its host")
    click.echo(f"move {keys / 'root.pem'} offline, with a copy elsewhere: whoever has it is the repository's owner")
    click.echo(f"the other keys in {keys} publish; keep them from everybody else")


@click.command()
@click.argument("repository", metavar="REPO", type=_FOLDER)
@_keys
def refresh(repository: Path, keys: Path) -> None:
    """Signs again what expires; to be run regularly.

    Ends with 1 where something expires soon that a missing key would have to sign.
    """
    with _needing_packages():
        from synthmed_tf.repository.publish import key_rotation

    done = key_rotation.refresh(repository, keys, _say)
    click.echo(f"signed again: {', '.join((*done.signed, 'timestamp'))}")
    for role, expires in done.missing.items():
        click.echo(
            f"synthmed: what the {role} key signed expires on {expires:%Y-%m-%d}, and it is not in {keys}", err=True
        )
    sys.exit(1 if done.missing else 0)


@click.command()
@click.argument("repository", metavar="REPO", type=_FOLDER)
@_keys
@click.option("--role", required=True, type=click.Choice(_ROLES), help="Whose key is to be another.")
def rotate(repository: Path, keys: Path, role: str) -> None:
    """Puts a new key in the place of one that was lost or stolen, or is old; needs the root's key."""
    with _needing_packages():
        from synthmed_tf.repository.publish import key_rotation

    key_rotation.rotate(repository, keys, role, _say)
    click.echo(f"{keys / f'{role}.pem'} is the new key; the old one counts no more")


@contextlib.contextmanager
def _needing_packages() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise SynthMedError(
            f"A repository's commands need packages that are not installed ({error}); "
            'pip install "synthmed-tf[repository]".'
        ) from error


def _description(text: str | None, file: Path | None) -> str:
    if text is not None and file is not None:
        raise SynthMedError("Options --description and --description-file both describe the set; leave one out.")
    if file is None:
        return text or ""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SynthMedError(f"{file} cannot be read ({error}); name a text file in UTF-8.") from error


def _say(line: str) -> None:
    click.echo(line, err=True)
