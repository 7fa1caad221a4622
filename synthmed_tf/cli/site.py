"""The commands that show a repository as web pages: `synthmed site build` and `synthmed site serve`."""

import tempfile
from pathlib import Path

import click

from synthmed_tf.cli import progress
from synthmed_tf.cli.messages import quoted
from synthmed_tf.cli.options import FOLDER
from synthmed_tf.extras import require_extra

_onnxruntime_web = click.option(
    "--onnxruntime-web",
    type=FOLDER,
    help="The folder of the npm package onnxruntime-web, so that pages can generate new pairs.",
)


@click.group()
def site() -> None:
    """Shows a repository as web pages."""


@site.command()
@click.argument("repository", metavar="REPO", type=FOLDER)
@click.option("--out", required=True, type=FOLDER, help="The folder of the site; an older site there is replaced.")
@_onnxruntime_web
def build(repository: Path, out: Path, onnxruntime_web: Path | None) -> None:
    """Writes web pages of REPO: static files for any host, with the repository in them."""
    _build(repository, out, onnxruntime_web)
    click.echo(f"the site is in {out}; copy it to a web host, or look at it: synthmed site serve {quoted(repository)}")


@site.command()
@click.argument("repository", metavar="REPO", type=FOLDER)
@_onnxruntime_web
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0: reachable from other machines.")
@click.option("--port", type=click.IntRange(0, 65535), default=8501, show_default=True, help="0: any free port.")
def serve(repository: Path, onnxruntime_web: Path | None, host: str, port: int) -> None:
    """Serves web pages of REPO on this machine until it is stopped."""
    require_extra("serving")
    from synthmed_tf.serving.listening import listen
    from synthmed_tf.site import hosting

    with listen(host, port) as listening, tempfile.TemporaryDirectory(prefix="synthmed-site-") as folder:
        _build(repository, Path(folder) / "site", onnxruntime_web, borrowed=True)
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{listening.getsockname()[1]}/"
        hosting.serve(Path(folder) / "site", listening, lambda: click.echo(f"the repository is on {address}"))


def _build(repository: Path, out: Path, onnxruntime_web: Path | None, borrowed: bool = False) -> None:
    require_extra("repository")
    from synthmed_tf.files import failing_clearly
    from synthmed_tf.site import building

    with failing_clearly(out), progress.bar("versions") as shown:
        building.build(repository, out, onnxruntime_web, shown, borrowed)
