"""What stops a run from outside, in one sentence: a full disk, too little memory, a worker that is gone."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from synthmed_tf.errors import SynthMedError
from synthmed_tf.training.checkpoints import saved_steps

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_WORDS = ("No space left", "Disk quota exceeded", "File too large")
_LOST_WORKER = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)
_LOST_WORDS = ("Collective ops is aborted", "Connection reset", "unreachable", "heartbeat")


@contextlib.contextmanager
def explained(folder: Path, several_workers: bool) -> Iterator[None]:
    """Turns such errors into a sentence.

    Args:
        folder: the stage's folder in the run, whose checkpoints it names.
        several_workers: whether processes train together.

    Raises:
        SynthMedError: the disk is full, the memory is not enough, or another worker is gone. Other errors pass.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if _is_full(error):
            raise SynthMedError(
                f"The disk that {folder} lies on is full; {_last_good(folder)}; free space and run the same command "
                "again."
            ) from error
        if isinstance(error, tf.errors.ResourceExhaustedError):
            raise SynthMedError(
                f"A step does not fit into memory ({_reason(error)}); {_last_good(folder)}; set accumulate for "
                "this stage, a smaller batch_size or size, or precision=mixed_float16."
            ) from error
        if several_workers and _is_lost(error):
            raise SynthMedError(
                f"Another worker ended or cannot be reached ({_reason(error)}); {_last_good(folder)}; start all "
                "workers again with the same command."
            ) from error
        raise


def _is_full(error: Exception) -> bool:
    return getattr(error, "errno", None) in _FULL or any(words in str(error) for words in _FULL_WORDS)


def _is_lost(error: Exception) -> bool:
    return isinstance(error, _LOST_WORKER) or any(words in str(error) for words in _LOST_WORDS)


def _last_good(folder: Path) -> str:
    steps = saved_steps(folder / "checkpoints")
    return f"the last good checkpoint is of step {steps[-1]}" if steps else "nothing was saved yet"


def _reason(error: Exception) -> str:
    """The line that says the most; TensorFlow begins with where in the graph it was."""
    lines = str(error).splitlines()
    telling = [line for line in lines if any(words in line for words in (*_LOST_WORDS, "OOM"))]
    return " ".join((telling[0] if telling else str(error)).split())[:100]
