"""A stage's checkpoints: the last two are kept, and one that is damaged is passed over."""

import shutil
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from synthmed_tf import files
from synthmed_tf.errors import SynthMedError

_KEPT = 2
_SUFFIX = ".index"


class Checkpoints:
    """Writes and reads `checkpoints/ckpt-STEP.index` and `.data-*`.

    The index is put in place last, by renaming: what has one is whole, but for damage that came later.
    """

    def __init__(self, variables: dict, folder: Path, restore_from: Path, say: Callable[[str], None]):
        """Keeps the parts; nothing is read or written yet.

        Args:
            variables: what a checkpoint holds, by name: variables or lists of them.
            folder: the stage's folder, to write into.
            restore_from: the stage's folder, to read from (another one for a worker that is not the chief).
            say: takes lines for the user.
        """
        self._checkpoint = tf.train.Checkpoint(**variables)
        self.folder, self._source, self._say = folder / "checkpoints", restore_from / "checkpoints", say

    def save(self, step: int) -> None:
        """Writes the checkpoint of a step; then all but the last two are removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with files.glob_free(self.folder) as folder:
            self._checkpoint.write(str(folder / f"ckpt-{step}"))
        found = saved_steps(self.folder)
        for old in found[:-_KEPT]:
            for file in self.folder.glob(f"ckpt-{old}.*"):
                file.unlink()
        # What tf.train.latest_checkpoint reads: TensorFlow's own way to write it is deprecated.
        kept = "".join(f'all_model_checkpoint_paths: "ckpt-{number}"\n' for number in found[-_KEPT:])
        files.write_text(self.folder / "checkpoint", f'model_checkpoint_path: "ckpt-{step}"\n{kept}')

    def restore(self) -> int:
        """Puts back the newest checkpoint that can be read.

        Returns:
            Its step, or 0 where there is none.

        Raises:
            SynthMedError: it is of other networks, one cannot be opened, or all that are there are damaged.
        """
        damage: list[str] = []
        for step in reversed(saved_steps(self._source)):
            prefix = self._source / f"ckpt-{step}"
            reason = _damage(prefix)
            if reason is None:
                self._read(prefix)
                for line in damage:
                    self._say(f"warning: {line}; going on from {prefix}")
                return step
            damage.append(f"the checkpoint {prefix} is damaged ({reason})")
        if damage:
            raise SynthMedError(
                f"No checkpoint in {self._source} is whole: {'; '.join(damage)}; restore one from a copy, or choose "
                "another --run to begin again."
            )
        return 0

    def clear_remains(self, step: int) -> None:
        """Removes what a killed process left half-written, and what is newer than the step that was put back."""
        for remains in self.folder.glob("*_temp*"):
            shutil.rmtree(remains, ignore_errors=True)
        for data in self.folder.glob("ckpt-*.data-*"):
            if not data.with_name(data.name.partition(".")[0] + _SUFFIX).exists():
                data.unlink()
        files.clear_remains(self.folder.parent)
        for newer in (number for number in saved_steps(self.folder) if number > step):
            for file in self.folder.glob(f"ckpt-{newer}.*"):
                file.unlink()

    def _read(self, prefix: Path) -> None:
        try:
            with files.glob_free(prefix.parent) as folder:
                self._checkpoint.read(str(folder / prefix.name)).assert_consumed()
        except (AssertionError, ValueError) as error:
            raise SynthMedError(
                f"The checkpoint {prefix} is of other networks than the configuration's; choose another --run."
            ) from error


def saved_steps(folder: Path) -> list[int]:
    """The steps that a folder holds checkpoints of, in order."""
    names = (path.name[len("ckpt-") : -len(_SUFFIX)] for path in folder.glob(f"ckpt-*{_SUFFIX}"))
    return sorted(int(name) for name in names if name.isdigit())


def _damage(prefix: Path) -> str | None:
    """How a checkpoint is damaged, or None: each tensor is read, which checks its checksum.

    Raises:
        SynthMedError: a file of it cannot be opened; it may be whole.
    """
    for file in prefix.parent.glob(f"{prefix.name}.*"):
        try:
            file.open("rb").close()
        except OSError as error:
            raise SynthMedError(
                f"{file} cannot be read ({error.strerror}); check its rights and run the same command again."
            ) from error
    try:
        with files.glob_free(prefix.parent) as folder:
            reader = tf.train.load_checkpoint(str(folder / prefix.name))
            for name in reader.get_variable_to_shape_map():
                reader.get_tensor(name)
    except Exception as error:  # TensorFlow meets damage with errors of many classes
        return " ".join(str(error).split())[:120] or type(error).__name__
    return None
