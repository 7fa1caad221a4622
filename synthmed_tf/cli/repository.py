"""The commands that read a repository: what is there, fetching it, and checking all of it."""

import sys
from pathlib import Path

import click

from synthmed_tf.cli import terminal
from synthmed_tf.errors import SynthMedError

_FOLDER = click.Path(path_type=Path)
_SHOWN = 50


def _from_source(command):
    """The options that name a repository, and what is demanded of it."""
    options = (
        click.option(
            "--from", "source", required=True, metavar="SOURCE", help="https:// address of a repository, or its folder."
        ),
        click.option("--root", type=_FOLDER, help="Trust this root.json alone."),
        click.option("--fingerprint", metavar="SHA256", help="Of the repository's root; trust no other."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("words", nargs=-1)
@_from_source
@click.option("--organ", help="Such as retina.")
@click.option("--modality", help="Such as fundus.")
@click.option("--min-size", type=click.IntRange(1), default=1, help="Pixels a side, at the least.")
@click.option("--license", "--licence", "license", help="Such as CC-BY-4.0.")
@click.option(
    "--verdict",
    "verdicts",
    multiple=True,
    help='PASS, "CANNOT TELL", FAIL or "not evaluated"; of one question as copies=PASS. May be repeated.',
)
@click.option("--withdrawn", is_flag=True, help="Show versions that were withdrawn too.")
@click.option("--json", "as_json", is_flag=True, help="The rows of the index as JSON.")
def search(words, source, root, fingerprint, organ, modality, min_size, license, verdicts, withdrawn, as_json) -> None:
    """Finds sets: those that have all WORDS in name, title, keywords, organ or modality."""
    from synthmed_tf.repository.read import search as searching

    query = searching.Query(words, organ, modality, license, min_size, verdicts, withdrawn)
    opened = _open(source, root, fingerprint)
    rows = searching.find(opened.index, query)
    if as_json:
        import json

        click.echo(json.dumps([row.model_dump(mode="json") for row in rows], indent=2))
        return
    from synthmed_tf.repository.read.listing import render

    render(opened.index, rows)


@click.command()
@click.argument("name", metavar="NAME[@VERSION]")
@_from_source
@click.option("--out", required=True, type=_FOLDER, help="The version's folder; the same command goes on where it was.")
@click.option("--format", "formats", multiple=True, help="Of the pairs; imagefolder if left. May be repeated.")
@click.option("--generator", is_flag=True, help="The artifact that generated them too, where it is shared.")
@click.option("--all", "everything", is_flag=True, help="Everything there is.")
@click.option(
    "--jobs", type=click.IntRange(1, 32), default=4, show_default=True, help="Files that are fetched at once."
)
def download(name, source, root, fingerprint, out, formats, generator, everything, jobs) -> None:
    """Fetches a version of a set, the newest if none is named, and verifies every file."""
    from synthmed_tf.repository.read import download as downloading

    choice = downloading.Choice(formats, generator, everything)
    opened = _open(source, root, fingerprint)
    with terminal.bytes_bar("downloading") as progress:
        done = downloading.download(opened, name, out, choice, jobs, progress)
    click.echo(
        f"{done.entry.name}@{done.entry.version} is in {out}: {done.files} files, as signed "
        f"({done.fetched} fetched now, {done.bytes / 1e6:.1f} MB)"
    )


@click.group()
def repository() -> None:
    """Makes a repository, renews its signatures, checks it."""


@repository.command()
@click.argument("folder", metavar="REPO", type=_FOLDER)
@click.option("--fingerprint", metavar="SHA256", help="Of the repository's root; trust no other.")
@click.option("--json", "as_json", is_flag=True, help="What was found as JSON.")
def check(folder: Path, fingerprint: str | None, as_json: bool) -> None:
    """Reads every file of REPO and says what is wrong with it and what to do. Nothing of it is executed.

    Ends with 0 where all is well, with 2 where something is wrong.
    """
    from synthmed_tf.repository.verify import checking

    with terminal.bar("files") as progress:
        found = checking.check(folder, fingerprint, progress)
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


def _open(source: str, root: Path | None, fingerprint: str | None):
    """Opens a repository; says whose keys are trusted from now on where that was not demanded."""
    try:
        from synthmed_tf.repository.read.client import Repository
        from synthmed_tf.repository.read.client_cache import Trust
        from synthmed_tf.repository.read.fetching import Source
    except ImportError as error:
        raise SynthMedError(
            f"This command needs The Update Framework, which is not installed ({error}); pip install "
            '"synthmed-tf[repository]".'
        ) from error
    try:
        trusted = root.read_bytes() if root else None
    except OSError as error:
        raise SynthMedError(f"{root} cannot be read ({error.strerror}); name a root.json by --root.") from error
    opened = Repository(Source(source), Trust(trusted, fingerprint))
    if opened.is_new and root is None and fingerprint is None:
        click.echo(
            f"synthmed: first contact with {opened.source}; its root has the fingerprint {opened.fingerprint}, and is "
            "trusted from now on (compare it with the publisher's)",
            err=True,
        )
    return opened
