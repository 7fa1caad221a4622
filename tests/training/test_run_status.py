"""What `synthmed status` tells of a run: from files as a training writes them, whole and damaged."""

import fcntl
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from helpers.paths import ENVIRONMENT
from rich.console import Console

from synthmed_tf import images
from synthmed_tf.config.schema import load_config
from synthmed_tf.errors import SynthMedError
from synthmed_tf.training import run_status

NOW = 1_800_000_000.0


def _lines(file, entries):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def _snapshot(folder, step, **more):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "snapshot.json").write_text(json.dumps({"step": step} | more))


def _age(folder, seconds):
    for file in folder.rglob("*"):
        os.utime(file, (NOW - seconds, NOW - seconds))


@pytest.fixture
def run(tmp_path):
    """Stage-I is done (600 of 600 steps), Stage-II was saved at 400 and has metrics up to 440."""
    folder = tmp_path / "run [1]"
    config = load_config("demo", overrides=("stage1.steps=600", "stage2.steps=600"))
    folder.mkdir()
    (folder / "config.json").write_text(config.model_dump_json())
    (folder / "data.json").write_text(json.dumps({"source": "chase", "pairs": 20, "patients": 10}))
    for stage, last, saved in (("stage1", 600, 600), ("stage2", 440, 400)):
        metrics = [
            {"step": step, "generator/loss": step / 1000, "generator/l1": 9.0, "images_per_second": float(step)}
            for step in range(20, last + 1, 20)
        ]
        metrics[9]["validation"] = 0.5
        metrics[14]["validation"] = 0.75
        _lines(folder / stage / "metrics.jsonl", metrics)
        _snapshot(folder / stage / "snapshot", saved)
        for step in (0, saved):
            images.write_png(folder / stage / "samples" / f"{step:08d}.png", np.full((6, 8, 3), step % 256, np.uint8))
    _snapshot(folder / "stage2" / "best", 200, measure=0.5)
    _age(folder / "stage1", 3600)
    _age(folder / "stage2", 90)
    return folder


def _stage(run, name):
    return {stage.name: stage for stage in run_status.describe(run).stages}[name]


def _printed(run, **console):
    out = io.StringIO()
    run_status.render(run_status.describe(run), Console(file=out, **{"width": 200} | console), NOW)
    return out.getvalue()


def test_a_stage_with_all_its_steps_saved_is_done(run):
    stage = _stage(run, "stage1")
    assert (stage.status, stage.step, stage.total, stage.ended_by_itself) == (run_status.DONE, 600, 600, False)


def test_a_stage_that_no_process_trains_is_stopped_at_what_it_saved(run):
    stage = _stage(run, "stage2")
    assert (stage.status, stage.saved_step, stage.step, stage.total) == (run_status.STOPPED, 400, 440, 600)


def test_a_stage_without_files_is_not_begun(run):
    assert _stage(run, "segmenter").status == run_status.NOT_BEGUN


def test_speed_is_the_median_of_the_last_ten_lines(run):
    assert _stage(run, "stage2").speed == (340 + 360) / 2  # of 260, 280, ..., 440


def test_losses_are_the_last_ones_of_each_network(run):
    assert _stage(run, "stage2").losses == (("generator", 0.44),)


def test_the_measure_of_the_best_step_and_the_last_one_are_told(run):
    stage = _stage(run, "stage2")
    assert stage.best == (200, 0.5) and stage.validations == ((200, 0.5), (300, 0.75))


def test_epochs_are_counted_in_steps_by_the_number_of_pairs(run):
    config = load_config("demo", overrides=("stage2.steps=null", "stage2.epochs=100"))
    (run / "config.json").write_text(config.model_dump_json())
    assert _stage(run, "stage2").total == 250  # 100 epochs of 20 pairs in batches of 8


def test_a_stage_whose_lock_is_held_and_that_wrote_since_is_running(run):
    (run / "lock").write_text("pid 7 on here\n")
    os.utime(run / "lock", (NOW - 100, NOW - 100))
    with open(run / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = run_status.describe(run)
        text = _printed(run)
    assert state.holder == "pid 7 on here"
    assert [stage.status for stage in state.stages] == [run_status.NOT_BEGUN, run_status.DONE, run_status.RUNNING]
    assert "stage2: running, step 440 of 600, 350.0 img/s, 0:00:04 left" in text  # 160 steps of 8


def test_a_stage_that_wrote_before_the_lock_was_taken_is_not_running(run):
    (run / "lock").write_text("pid 7 on here\n")
    os.utime(run / "lock", (NOW - 10, NOW - 10))
    with open(run / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert _stage(run, "stage2").status == run_status.STOPPED


def test_a_lock_that_nobody_holds_is_no_process(run):
    (run / "lock").write_text("pid 7 on here\n")
    state = run_status.describe(run)
    assert state.holder is None and state.stages[2].status == run_status.STOPPED


def test_asking_leaves_the_lock_free(run):
    (run / "lock").touch()
    run_status.describe(run)
    with open(run / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_stage_that_ended_by_itself_is_done(run):
    config = json.loads((run / "config.json").read_text())
    config["stage2"]["patience"] = 1
    (run / "config.json").write_text(json.dumps(config))
    assert _stage(run, "stage2").status == run_status.STOPPED  # metrics go on after what was saved
    _snapshot(run / "stage2" / "snapshot", 440)
    stage = _stage(run, "stage2")
    assert stage.status == run_status.DONE and stage.ended_by_itself
    assert "stage2: done, 440 steps (it ended by itself)" in _printed(run)


def test_the_state_is_printed_a_stage_a_line(run):
    assert _printed(run).splitlines() == [
        f"{run}: preset demo, 64x64; data chase, 20 pairs of 10 patients",
        "  segmenter: not begun",
        "  stage1: done, 600 steps, 510.0 img/s; last written 1:00:00 ago",
        "    losses: generator 0.6",
        "    last validated: step 300, measure 0.75",
        "  stage2: stopped at step 400 of 600 (metrics up to 440), 350.0 img/s; last written 0:01:30 ago",
        "    losses: generator 0.44",
        "    best: step 200, measure 0.5",
        "    last validated: step 300, measure 0.75",
        f"  newest contact sheet: {run / 'stage2' / 'samples' / '00000400.png'}",
        "  stage2: too early to say, after 2 of at least 3 validations.",
    ]


def _measured(run, *measures, target=None, **more):
    """Lines of metrics that validate every 100 steps."""
    lines = [{"step": 100 * (i + 1), "validation": value} for i, value in enumerate(measures)]
    lines[-1] |= more | ({"validation_of_real": target} if target else {})
    _lines(run / "stage2" / "metrics.jsonl", lines)


@pytest.mark.parametrize(
    ("measures", "said"),
    [
        ((0.8, 0.6, 0.4), "stage2 goes well: its measure fell from 0.8 to 0.4 (real images of other patients: 0.2)."),
        ((0.8, 0.4, 0.42, 0.44), "stage2 goes well: its measure fell from 0.8 to 0.44"),  # within a tenth
        (
            (0.8, 0.4, 0.42, 0.45),
            "stage2 no longer gets better: its measure was lowest at step 200 (0.4) and is now 0.45",
        ),
        ((0.5, 0.48, 0.9), "stage2 does not go well: its measure has not fallen since the first validation (0.5, now"),
    ],
)
def test_one_sentence_says_whether_it_goes_well(run, measures, said):
    _measured(run, *measures, target=0.2)
    _age(run / "stage2", 90)
    assert run_status.describe(run).assessment.startswith(said)


def test_an_alarm_after_the_best_step_says_that_it_does_not_go_well(run):
    _measured(run, 0.8, 0.6, 0.4, 0.39)
    for step, expected in ((200, "stage2 goes well: "), (400, "stage2 does not go well: masks alike; raise it.")):
        _lines(run / "stage2" / "warnings.jsonl", [{"step": step, "alarm": "a", "message": "masks alike; raise it"}])
        _age(run / "stage2", 90)
        assert run_status.describe(run).assessment.startswith(expected)


def test_geometry_is_told_with_its_target(run):
    _measured(run, 0.8, **{"geometry/pieces": 14.25, "geometry/pieces_of_real": 9.0, "geometry/calibre": 5.0})
    _age(run / "stage2", 90)
    assert "    generated trees (real ones): pieces 14.2 (9)\n" in _printed(run)


def test_warnings_and_changed_options_are_printed(run):
    _lines(run / "stage1" / "warnings.jsonl", [{"step": 80, "alarm": "a", "message": "masks [are] alike"}])
    _lines(run / "overrides.jsonl", [{"steps": {"stage1": 40}, "changes": {"stage1.r1_gamma": [2.0, 5.0]}}])
    text = _printed(run)
    assert "    warning at step 80: masks [are] alike\n" in text
    assert "  Went on with other options (was, is) from {'stage1': 40}: {'stage1.r1_gamma': [2.0, 5.0]}\n" in text


def test_each_damaged_file_is_a_sentence_and_the_rest_is_told(run):
    (run / "config.json").write_text("{")
    (run / "data.json").write_text("[1]")
    (run / "overrides.jsonl").write_text("{}\n")
    (run / "stage2" / "best" / "snapshot.json").write_bytes(b"\xff\x00")
    with open(run / "stage2" / "metrics.jsonl", "a") as file:
        file.write('{"step": "460"}\nnonsense\n{"step": 460, "generator/loss": 0.1}\n{"step": 48')
    state = run_status.describe(run)
    expected = (
        f"{run / 'config.json'} ",
        f"{run / 'data.json'} cannot be read (it holds no JSON object).",
        f"{run / 'stage2' / 'metrics.jsonl'} has 2 line(s) that cannot be read, the first is line 23.",
        f"{run / 'stage2' / 'best' / 'snapshot.json'} cannot be read (",
        f"{run / 'overrides.jsonl'} has 1 line(s) that cannot be read, the first is line 1.",
    )
    for remark, beginning in zip(state.remarks, expected, strict=True):
        assert remark.startswith(beginning)
    assert state.stages[2].step == 460 and state.stages[2].total is None and state.stages[2].best is None


def test_a_last_line_that_is_being_written_is_no_damage(run):
    with open(run / "stage2" / "metrics.jsonl", "a") as file:
        file.write('{"step": 460, "gen')
    assert run_status.describe(run).remarks == ()
    assert _stage(run, "stage2").step == 440


@pytest.mark.parametrize("name", ["config.json", "stage1/metrics.jsonl", "stage1/snapshot/snapshot.json", "data.json"])
def test_no_cut_or_flipped_byte_is_more_than_a_sentence(run, name):
    whole = (run / name).read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 25):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(rng.integers(8))
        for content in (bytes(flipped), whole[:place]):
            (run / name).write_bytes(content)
            assert _printed(run).startswith(f"{run}: ")


def test_a_folder_in_the_place_of_a_file_is_a_sentence(run):
    (run / "config.json").unlink()
    (run / "config.json").mkdir()
    assert run_status.describe(run).remarks == (f"{run / 'config.json'} cannot be read (Is a directory).",)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(SynthMedError, match="holds no run"):
        run_status.describe(tmp_path)
    with pytest.raises(SynthMedError, match="nowhere holds no run"):
        run_status.describe(tmp_path / "nowhere")


def test_two_pixels_are_one_character(tmp_path):
    pixels = np.array([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [250, 251, 252]]], np.uint8)
    images.write_png(tmp_path / "a.png", pixels)
    text = run_status.half_blocks(tmp_path / "a.png", 80)
    assert text.plain == "▀▀\n"
    styles = [(tuple(span.style.color.triplet), tuple(span.style.bgcolor.triplet)) for span in text.spans]
    assert styles == [((1, 2, 3), (7, 8, 9)), ((4, 5, 6), (250, 251, 252))]


def test_a_wide_image_is_shrunk_to_the_terminal_by_area(tmp_path):
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, ::2] = 200
    images.write_png(tmp_path / "a.png", pixels)
    text = run_status.half_blocks(tmp_path / "a.png", 8)
    assert text.plain == ("▀" * 8 + "\n") * 2
    assert {tuple(span.style.color.triplet) for span in text.spans} == {(100, 100, 100)}


def test_a_terminal_shows_the_newest_image_in_colours(run):
    text = _printed(run, force_terminal=True, color_system="truecolor")
    assert text.endswith(("\x1b[38;2;144;144;144;48;2;144;144;144m▀\x1b[0m" * 8 + "\n") * 3)  # 400 % 256


def test_a_terminal_without_colours_shows_the_path_alone(run):
    text = _printed(run, force_terminal=True, no_color=True, color_system=None)
    assert "00000400.png\n" in text and "▀" not in text


def test_an_image_that_is_damaged_is_a_sentence(run):
    (run / "stage2" / "samples" / "00000400.png").write_bytes(b"no image")
    _age(run / "stage2", 90)
    text = _printed(run, force_terminal=True, color_system="truecolor")
    assert text.splitlines()[-1].strip().startswith(f"{run / 'stage2' / 'samples' / '00000400.png'} is no image")


def test_reading_a_run_does_not_import_tensorflow(run):
    program = "import sys; from pathlib import Path; from synthmed_tf.training import run_status;"
    program += "run_status.describe(Path(sys.argv[1]));"
    program += "print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    command = [sys.executable, "-c", program, str(run)]
    told = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=120)
    assert (told.stdout, told.returncode) == ("[]\n", 0), told.stderr
