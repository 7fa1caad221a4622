"""Checkpoints: what is kept, what damage does, and what a full disk leaves behind."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers.paths import ENVIRONMENT

from synthmed_tf import files
from synthmed_tf.errors import SynthMedError
from synthmed_tf.training.checkpoints import Checkpoints, saved_steps
from synthmed_tf.training.training_errors import explained


def _made(folder, value=0.0, size=3):
    said = []
    variable = tf.Variable(tf.fill((size,), value))
    return Checkpoints({"part": [variable], "count": tf.Variable(0)}, folder, folder, said.append), variable, said


def _saved(folder, *steps):
    for step in steps:
        _made(folder, float(step))[0].save(step)


def test_the_newest_checkpoint_comes_back(tmp_path):
    _saved(tmp_path, 9, 10)
    checkpoints, variable, said = _made(tmp_path)
    assert checkpoints.restore() == 10 and said == []
    np.testing.assert_array_equal(variable, [10.0] * 3)


def test_the_last_two_are_kept(tmp_path):
    _saved(tmp_path, 9, 10, 100)
    assert saved_steps(tmp_path / "checkpoints") == [10, 100]
    assert tf.train.latest_checkpoint(str(tmp_path / "checkpoints")).endswith("ckpt-100")
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "checkpoint",
        *(f"ckpt-{step}.{part}" for step in (10, 100) for part in ("data-00000-of-00001", "index")),
    ]


def test_without_a_checkpoint_the_stage_begins_at_0(tmp_path):
    assert _made(tmp_path)[0].restore() == 0


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0x10
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("harm", [_cut, _flip, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_damaged_newest_checkpoint_is_passed_over_with_a_warning_that_names_both(harm, part, tmp_path):
    _saved(tmp_path, 4, 6)
    harm(tmp_path / "checkpoints" / f"ckpt-6.{part}")
    checkpoints, variable, said = _made(tmp_path)
    assert checkpoints.restore() == 4
    np.testing.assert_array_equal(variable, [4.0] * 3)
    if (tmp_path / "checkpoints" / "ckpt-6.index").exists():
        assert len(said) == 1 and "ckpt-6 is damaged" in said[0] and said[0].endswith("ckpt-4")
    checkpoints.clear_remains(4)
    checkpoints.save(5)
    assert saved_steps(tmp_path / "checkpoints") == [4, 5]


def test_a_damaged_list_of_checkpoints_harms_nothing(tmp_path):
    _saved(tmp_path, 4, 6)
    (tmp_path / "checkpoints" / "checkpoint").write_bytes(b"\x00\xffnonsense")
    checkpoints, variable, _ = _made(tmp_path)
    assert checkpoints.restore() == 6
    checkpoints.save(8)
    assert saved_steps(tmp_path / "checkpoints") == [6, 8]


def test_where_all_are_damaged_the_run_says_so_and_does_not_begin_again(tmp_path):
    _saved(tmp_path, 4, 6)
    for file in (tmp_path / "checkpoints").glob("*.data-*"):
        _cut(file)
    with pytest.raises(
        SynthMedError,
        match=r"No checkpoint in .* is whole: .*ckpt-6 is damaged .*ckpt-4 is damaged .*choose another --run",
    ):
        _made(tmp_path)[0].restore()


def test_a_checkpoint_that_cannot_be_opened_is_not_called_damaged(tmp_path):
    """A folder in place of the file stands for an error of the disk or missing rights: nothing is passed over."""
    _saved(tmp_path, 4, 6)
    data = tmp_path / "checkpoints" / "ckpt-6.data-00000-of-00001"
    data.unlink()
    data.mkdir()
    with pytest.raises(SynthMedError, match=r"ckpt-6.data-00000-of-00001 cannot be read \(Is a directory\); check"):
        _made(tmp_path)[0].restore()


def test_a_checkpoint_of_other_networks_is_refused(tmp_path):
    _saved(tmp_path, 4)
    with pytest.raises(SynthMedError, match="ckpt-4 is of other networks"):
        _made(tmp_path, size=5)[0].restore()


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    _saved(tmp_path, 4)
    remains = tmp_path / "checkpoints" / "ckpt-6_temp"
    remains.mkdir()
    (remains / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"half")
    _made(tmp_path)[0].clear_remains(4)
    assert not remains.exists() and saved_steps(tmp_path / "checkpoints") == [4]


FULL_DISK = """
import resource, sys
from pathlib import Path
import tensorflow as tf
from synthmed_tf.training.checkpoints import Checkpoints
from synthmed_tf.training.training_errors import explained
folder = Path(sys.argv[1])
checkpoints = Checkpoints({"part": tf.Variable(tf.ones(100_000))}, folder, folder, print)
checkpoints.save(2)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # no file may grow further, as on a full disk
with explained(folder, several_workers=False):
    checkpoints.save(4)
"""


def test_a_full_disk_is_one_sentence_and_leaves_the_last_checkpoint_intact(tmp_path):
    environment = ENVIRONMENT
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("synthmed_tf.errors.SynthMedError: The disk that ")
    assert last.endswith("the last good checkpoint is of step 2; free space and run the same command again.")
    variable = tf.Variable(tf.zeros(100_000))
    checkpoints = Checkpoints({"part": variable}, tmp_path, tmp_path, print)
    assert checkpoints.restore() == 2
    assert float(tf.reduce_sum(variable)) == 100_000
    checkpoints.clear_remains(2)
    assert not list((tmp_path / "checkpoints").glob("*temp*"))


def test_a_lost_worker_is_one_sentence(tmp_path):
    _saved(tmp_path, 4)
    sentence = r"cannot be reached \(Collective ops is aborted by: Socket closed\); .* step 4; start all workers again"
    said = "Graph execution error:\n\nDetected at node while\nCollective ops is aborted by: Socket closed\n"
    with pytest.raises(SynthMedError, match=sentence), explained(tmp_path, several_workers=True):
        raise tf.errors.UnavailableError(None, None, said)
    with (
        pytest.raises(SynthMedError, match=r"does not fit into memory .*step 4; set accumulate"),
        explained(tmp_path, False),
    ):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    with pytest.raises(tf.errors.InvalidArgumentError), explained(tmp_path, several_workers=True):
        raise tf.errors.InvalidArgumentError(None, None, "shapes")


HOLDER = """
import sys, time
from pathlib import Path
from synthmed_tf import files
with files.exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lock_is_held_as_long_as_its_process_lives(tmp_path):
    environment = ENVIRONMENT
    lock = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError) as refused, files.exclusive(lock):
        pass
    assert refused.value.strerror.startswith(f"pid {holder.pid} on ")
    holder.kill()
    holder.wait()
    with files.exclusive(lock):
        assert lock.read_text().startswith(f"pid {os.getpid()} on ")
