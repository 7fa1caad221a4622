"""The commands of the repository: those that read one, and those with which its owner changes it."""

import json
import sys
from datetime import datetime, timezone
from pathlib import Path

import click

from synthmed_tf.cli import progress
from synthmed_tf.cli.options import FOLDER, MODEL, parts, say
from synthmed_tf.errors import SynthMedError
from synthmed_tf.extras import require_extra

_SHOWN = 50
_ROLES = ("root", "targets", "snapshot", "timestamp")

_from = click.option(
    "--from",
    "source",
    required=True,
    metavar="SOURCE",
    help="A repository: its address (https://, s3://, gs://, abfs://) or its folder.",
)
_root = click.option("--root", type=FOLDER, help="Trust this root.json only.")
_fingerprint = click.option("--fingerprint", metavar="SHA256", help="Trust only the root with this fingerprint.")
_repository = click.option("--repository", required=True, type=FOLDER, help="The folder of the repository.")
_keys = click.option(
    "--keys", required=True, type=FOLDER, envvar="SYNTHMED_KEYS", help="The folder with its keys; or SYNTHMED_KEYS."
)
_wait = click.option(
    "--wait", type=click.IntRange(0), default=600, show_default=True, help="Seconds to wait for another publisher."
)


@click.command()
@click.argument("words", nargs=-1)
@_from
@_root
@_fingerprint
@click.option("--organ", help="Such as retina.")
@click.option("--modality", help="Such as fundus.")
@click.option("--min-size", type=click.IntRange(1), default=1, help="The least number of pixels a side.")
@click.option("--license", help="Such as CC-BY-4.0.")
@click.option(
    "--verdict",
    "verdicts",
    multiple=True,
    help='PASS, "CANNOT TELL", FAIL or "not evaluated"; for one question: copies=PASS. May be repeated.',
)
@click.option("--withdrawn", is_flag=True, help="Show withdrawn versions too.")
@click.option("--json", "as_json", is_flag=True, help="The rows of the index as JSON.")
def search(words, source, root, fingerprint, organ, modality, min_size, license, verdicts, withdrawn, as_json) -> None:
    """Finds sets in a repository.

    All WORDS must be in the name, title, keywords, organ or modality of a set.
    """
    require_extra("repository")
    from synthmed_tf.repository.read import search as searching

    query = searching.Query(words, organ, modality, license, min_size, verdicts, withdrawn)
    opened = _open(source, root, fingerprint)
    rows = searching.find(opened.index, query)
    if as_json:
        click.echo(json.dumps([row.model_dump(mode="json") for row in rows], indent=2))
        return
    searching.render(opened.index, rows)


@click.command()
@click.argument("name", metavar="NAME[@VERSION]")
@_from
@_root
@_fingerprint
@click.option("--out", required=True, type=FOLDER, help="The folder of the version; the same command resumes.")
@click.option("--format", "formats", multiple=True, help="Of the pairs; default: imagefolder. May be repeated.")
@click.option("--generator", is_flag=True, help="Also the artifact that generated them, if it is shared.")
@click.option("--all", "everything", is_flag=True, help="Everything in the version.")
@click.option(
    "--jobs", type=click.IntRange(1, 32), default=4, show_default=True, help="Files that are downloaded at once."
)
def download(name, source, root, fingerprint, out, formats, generator, everything, jobs) -> None:
    """Downloads a version of a set.

    The default is the newest version. Every file is verified.
    """
    require_extra("repository")
    from synthmed_tf.repository.read import download as downloading

    choice = downloading.Choice(formats, generator, everything)
    opened = _open(source, root, fingerprint)
    with progress.bytes_bar("downloading") as shown:
        done = downloading.download(opened, name, out, choice, jobs, shown)
    click.echo(
        f"{done.entry.name}@{done.entry.version} is in {out}: {done.files} files, as signed "
        f"({done.fetched} fetched now, {done.bytes / 1e6:.1f} MB)"
    )


def _open(source: str, root: Path | None, fingerprint: str | None):
    """Opens a repository; on first contact without --root or --fingerprint, says which root is trusted from now on."""
    from synthmed_tf.repository.read.client import Repository
    from synthmed_tf.repository.read.client_cache import Trust
    from synthmed_tf.repository.read.fetching import Source

    try:
        trusted = root.read_bytes() if root else None
    except OSError as error:
        raise SynthMedError(f"{root} cannot be read ({error.strerror}); name a root.json with --root.") from error
    opened = Repository(Source(source), Trust(trusted, fingerprint))
    if opened.is_new and root is None and fingerprint is None:
        say(
            f"synthmed: first contact with {opened.source}; its root has the fingerprint {opened.fingerprint}, and is "
            "trusted from now on (compare it with the publisher's)"
        )
    return opened


@click.command()
@click.argument("folder", metavar="SET", type=FOLDER)
@_repository
@_keys
@click.option("--name", required=True, help="Such as retina-chase.")
@click.option("--version", required=True, help="Such as 1.0.0; a published version never changes.")
@click.option("--title", required=True)
@click.option("--description", help="Of the set, as plain text.")
@click.option("--description-file", type=FOLDER, help="A text file with the description.")
@click.option("--license", required=True, help="Of the set, such as CC-BY-4.0.")
@click.option("--creator", "creators", multiple=True, required=True, help="May be repeated.")
@click.option("--keyword", "keywords", multiple=True, help="May be repeated.")
@click.option("--organ", help="What the images show; default: retina.")
@click.option("--modality", help="How they are taken; default: fundus photography.")
@click.option("--training-data", "data_name", help="Name of the data that the generator was trained on.")
@click.option("--training-license", "data_license", help="License of the training data.")
@click.option("--training-attribution", "data_attribution", help="Attribution that the training data asks for.")
@click.option("--training-url", "data_url", help="Address of the training data.")
@click.option("--report", type=FOLDER, help="A report of synthmed evaluate on SET; names of real files are left out.")
@click.option("--full-report", is_flag=True, help="Keep the names in the report; it must hold no real image.")
@click.option("--artifact", type=MODEL, help="Share the artifact that generated the set.")
@click.option("--format", "formats", help="Several with commas; default: imagefolder,tfrecord.")
@_wait
def publish(folder, repository, keys, description, description_file, formats, wait, **given):
    """Adds SET to a repository as one version.

    It is added completely or not at all. The same command again changes nothing.
    """
    require_extra("repository")
    from synthmed_tf.repository.publish import building, publishing

    stated = {name: value for name, value in given.items() if value is not None}
    if formats is not None:
        stated["formats"] = parts(formats)
    request = building.Request(
        set=folder,
        description=_description(description, description_file),
        published=datetime.now(timezone.utc).replace(microsecond=0),
        **stated,
    )
    with progress.bar("pairs") as shown:
        new = publishing.publish(repository, keys, request, shown, say, wait)
    name = f"{request.name}@{request.version}"
    if new:
        click.echo(f"{name} is in {repository}; upload it as docs/repository.md says")
    else:
        click.echo(f"{name} is in {repository} already, with the same content; nothing was changed")


@click.command()
@click.argument("name", metavar="NAME@VERSION")
@_repository
@_keys
@click.option("--reason", required=True, help="Why; it is public.")
@_wait
def withdraw(name: str, repository: Path, keys: Path, reason: str, wait: int) -> None:
    """Withdraws a version for good, and leaves a tombstone.

    This stops new downloads and informs readers; copies that were downloaded stay.
    """
    require_extra("repository")
    from synthmed_tf.repository.publish import publishing

    new = publishing.withdraw(repository, keys, name, reason, say, wait)
    click.echo(f"{name} is withdrawn" if new else f"{name} was withdrawn already; nothing was changed")


@click.group()
def repository() -> None:
    """Makes a repository, renews its signatures, checks it."""


@repository.command()
@click.argument("folder", metavar="REPO", type=FOLDER)
@_fingerprint
@click.option("--json", "as_json", is_flag=True, help="The findings as JSON.")
def check(folder: Path, fingerprint: str | None, as_json: bool) -> None:
    """Reads every file of REPO; says what is wrong with it and what to do. Nothing in it is executed.

    Ends with 0 if all is well, with 2 if something is wrong.
    """
    require_extra("repository")
    from synthmed_tf.repository.verify import checking

    with progress.bar("files") as shown:
        found = checking.check(folder, fingerprint, shown)
    if as_json:
        click.echo(found.to_json())
    else:
        for problem in found.problems[:_SHOWN]:
            click.echo(str(problem))
        if len(found.problems) > _SHOWN:
            click.echo(f"and {len(found.problems) - _SHOWN} more; --json names them")
        click.echo(
            f"{found.versions} versions, {found.files} files: {len(found.problems)} problem(s); the root's fingerprint "
            f"is {found.fingerprint or 'not known'}"
        )
    sys.exit(2 if found.problems else 0)


@repository.command()
@click.argument("repository", metavar="REPO", type=FOLDER)
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
    require_extra("repository")
    from synthmed_tf.repository.publish import new_repository

    fingerprint = new_repository.init(repository, keys, title, expires_days)
    click.echo(f"fingerprint {fingerprint}")
    click.echo(f"{repository} is an empty repository; publish the fingerprint on another channel than its host")
    click.echo(f"move {keys / 'root.pem'} offline, with a copy elsewhere: it is the ownership of the repository")
    click.echo(f"the other keys in {keys} publish; keep them secret")


@repository.command()
@click.argument("repository", metavar="REPO", type=FOLDER)
@_keys
def refresh(repository: Path, keys: Path) -> None:
    """Renews the signatures that expire; run it regularly.

    Ends with 1 if something expires soon and the key for it is missing.
    """
    require_extra("repository")
    from synthmed_tf.repository.publish import key_rotation

    done = key_rotation.refresh(repository, keys, say)
    click.echo(f"signed again: {', '.join((*done.signed, 'timestamp'))}")
    for role, expires in done.missing.items():
        say(f"synthmed: what the {role} key signed expires on {expires:%Y-%m-%d}, and it is not in {keys}")
    sys.exit(1 if done.missing else 0)


@repository.command()
@click.argument("repository", metavar="REPO", type=FOLDER)
@_keys
@click.option("--role", required=True, type=click.Choice(_ROLES), help="The role whose key is replaced.")
def rotate(repository: Path, keys: Path, role: str) -> None:
    """Replaces a key that was lost, stolen or is old; needs the root key."""
    require_extra("repository")
    from synthmed_tf.repository.publish import key_rotation

    key_rotation.rotate(repository, keys, role, say)
    click.echo(f"{keys / f'{role}.pem'} is the new key; the old one is no longer valid")


def _description(text: str | None, file: Path | None) -> str:
    if text is not None and file is not None:
        raise SynthMedError("Options --description and --description-file both describe the set; leave one out.")
    if file is None:
        return text or ""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SynthMedError(f"{file} cannot be read ({error}); name a text file in UTF-8.") from error
