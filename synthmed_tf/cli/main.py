"""The command line: `synthmed`. Each command parses its options and calls one function.

What is expensive to import (TensorFlow, NumPy, pydantic) is imported when a command needs it.
"""

import io
import os
import signal
import sys

import click

from synthmed_tf import __version__
from synthmed_tf.cli import data, evaluate, export, generate, messages, old_spellings, repository, serve, site, train
from synthmed_tf.errors import SynthMedError

_terminated: list[int] = []
"""The number of the signal that ended the process, once it has come."""


class _Group(click.Group):
    """Translates old spellings; turns an error that the user can correct into one sentence and exit code 2."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args, notices = old_spellings.translate(args)
        for notice in notices:
            click.echo(f"synthmed: {notice}; the old spelling will go in the next version.", err=True)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context):
        try:
            return super().invoke(ctx)
        except SynthMedError as error:
            click.echo(f"synthmed: {messages.failure(error)}", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            click.echo("synthmed: stopped; run the same command again", err=True)
            sys.exit(128 + signal.SIGINT)
        except Exception:
            if _terminated:  # inside a callback TensorFlow replaces SystemExit by another exception
                sys.exit(128 + signal.SIGTERM)
            raise


def _terminate(number: int, frame) -> None:
    """Unlike the default action this unwinds the stack, so that half-written files are removed."""
    _terminated.append(number)
    sys.exit(128 + number)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="synthmed")
def main() -> None:
    """Labelled synthetic medical images from two generative adversarial networks."""
    # TensorFlow's optimizer logs as errors what it recovers from; what stops a command is raised, not logged.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    signal.signal(signal.SIGTERM, _terminate)
    # Names of files may hold bytes that are not UTF-8, and the terminal may know fewer characters.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


for command in (
    data.data,
    train.train,
    train.status,
    train.segment,
    export.export,
    generate.generate,
    generate.models,
    generate.verify,
    evaluate.evaluate,
    evaluate.filter_set,
    serve.serve,
    site.site,
    repository.search,
    repository.download,
    repository.publish,
    repository.withdraw,
    repository.repository,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
