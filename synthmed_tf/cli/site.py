"""The command that makes web pages of a repository: `synthmed site`."""

import tempfile
from pathlib import Path

import click

from synthmed_tf.cli import terminal
from synthmed_tf.errors import SynthMedError
from synthmed_tf.files import failing_clearly

_FOLDER = click.Path(path_type=Path)
onnxruntime_web = click.option(
    "--onnxruntime-web",
    type=_FOLDER,
    help="Folder of the npm package onnxruntime-web, so that pages can generate new pairs.",
)


@click.command()
@click.argument("repository", type=_FOLDER)
@click.option("--out", required=True, type=_FOLDER, help="The site's folder; an older site there is replaced.")
@onnxruntime_web
def site(repository: Path, out: Path, onnxruntime_web: Path | None) -> None:
    """Makes web pages of REPOSITORY: static files for any host, with the repository beside them."""
    _build(repository, out, onnxruntime_web)
    click.echo(f"the site is in {out}; copy it to a web host, or look at it: synthmed serve --repository {repository}")


def serve(repository: Path, host: str, port: int, onnxruntime_web: Path | None) -> None:
    """Makes a repository's pages in a temporary folder, and serves them until it is stopped.

    Raises:
        SynthMedError: a package is missing, the port cannot be had, or the site cannot be made.
    """
    try:
        from synthmed_tf.serving.listening import listen
        from synthmed_tf.site import hosting
    except ImportError as error:
        raise SynthMedError(f"{error.name} is missing; pip install 'synthmed-tf[serving]'.") from error
    with listen(host, port) as listening, tempfile.TemporaryDirectory(prefix="synthmed-site-") as folder:
        _build(repository, Path(folder) / "site", onnxruntime_web, borrowed=True)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listening.getsockname()[1]}/"
        hosting.serve(Path(folder) / "site", listening, lambda: click.echo(f"the repository is on {address}"))


def _build(repository: Path, out: Path, onnxruntime_web: Path | None, borrowed: bool = False) -> None:
    try:
        from synthmed_tf.site import building
    except ImportError as error:
        raise SynthMedError(f"{error.name} is missing; pip install 'synthmed-tf[repository]'.") from error
    with failing_clearly(out), terminal.bar("versions") as progress:
        building.build(repository, out, onnxruntime_web, progress, borrowed)
