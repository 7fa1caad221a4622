"""Fetching a set from hosts that are good, slow, broken or lying, and loading it."""

import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import published, web_host

import synthmed_tf.repository
from synthmed_tf import files
from synthmed_tf.cli.main import main
from synthmed_tf.errors import SynthMedError
from synthmed_tf.repository.publish import publishing
from synthmed_tf.repository.read.client import Repository
from synthmed_tf.repository.read.download import Choice, download
from synthmed_tf.repository.read.fetching import Source

ZIP = "imagefolder/train-00000-of-00001.zip"
TFRECORD = "tfrecord/synthmed-train.tfrecord-00000-of-00001"
SMALL = ("README.md", "card.json", "croissant.json", "thumbnail.png")
PREVIEWS = tuple(f"previews/{index:08d}.{kind}.png" for index in range(published.COUNT) for kind in ("image", "mask"))
USUAL = {"entry.json", ZIP, *SMALL, *PREVIEWS}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a repository of phantom@1.0.0 in two formats, and shared@1.0.0 with its generator."""
    folder = tmp_path_factory.mktemp("made")
    published.make(folder, "phantom@1.0.0")
    published.publish(folder, "shared@1.0.0", formats=("imagefolder",), artifact=published.artifact(folder / "model"))
    return folder


@pytest.fixture(scope="module")
def place(made):
    """The folder of phantom@1.0.0 in the repository."""
    return made / "repo" / "targets" / "phantom" / "1.0.0"


@pytest.fixture
def host(made):
    with web_host.serving(made / "repo") as host:
        yield host


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def fetch(host, out, tmp_path):
    """Fetches from the host as one and the same user."""

    def fetch(name="phantom", *arguments, **options):
        return download(Repository(Source(host.url), cache=tmp_path / "cache"), name, out, *arguments, **options)

    return fetch


def _there(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _asked(host, end: str) -> list[str | None]:
    """The ranges with which a file was asked for."""
    return [span for path, span in host.asked if path.endswith(end)]


def test_all_files_are_those_of_the_repository(fetch, out, place):
    counts = []
    done = fetch(progress=lambda *count: counts.append(count))
    assert _there(out) == USUAL
    for name in USUAL:
        assert (out / name).read_bytes() == (place / name).read_bytes()
    size = sum((place / name).stat().st_size for name in USUAL - {"entry.json"})
    assert (done.files, done.fetched, done.bytes) == (12, 11, size)
    assert counts[-1] == (size, size) and counts == sorted(counts)


@pytest.mark.parametrize(
    ("choice", "more"),
    [
        (Choice(("tfrecord",)), {TFRECORD, "tfrecord/features.json", "tfrecord/dataset_info.json"}),
        (Choice(everything=True), {ZIP, TFRECORD, "tfrecord/features.json", "tfrecord/dataset_info.json"}),
    ],
)
def test_what_is_chosen_is_fetched(fetch, out, choice, more):
    fetch(choice=choice)
    assert _there(out) == USUAL - {ZIP} | more


def test_a_generator_is_fetched_where_it_is_asked_for(fetch, out, made):
    fetch("shared", Choice(generator=True))
    there = {name for name in _there(out) if name.startswith("generator/")}
    assert "generator/generator.onnx" in there and "generator/savedmodel/1/saved_model.pb" in there
    assert {name.removeprefix("generator/") for name in there} == _there(made / "model")


def test_what_cannot_be_had_is_said(fetch):
    with pytest.raises(
        SynthMedError, match=r"phantom@1.0.0 cannot be had as dicom; choose --format of imagefolder, tfrec"
    ):
        fetch(choice=Choice(("dicom",)))
    with pytest.raises(SynthMedError, match=r"phantom@1.0.0 does not share its generator; leave --generator out"):
        fetch(choice=Choice(generator=True))


def test_what_is_there_is_not_fetched_again(fetch, host, out):
    fetch()
    host.asked.clear()
    assert fetch().fetched == 0
    assert not _asked(host, ZIP)
    (out / ZIP).write_bytes(bytes((out / ZIP).stat().st_size))
    assert fetch().fetched == 1
    assert _asked(host, ZIP) == [None]


def test_another_format_is_added(fetch, out):
    fetch()
    assert fetch(choice=Choice(("tfrecord",))).fetched == 3
    assert _there(out) == USUAL | {TFRECORD, "tfrecord/features.json", "tfrecord/dataset_info.json"}


def test_a_part_is_gone_on_with(fetch, host, out, place):
    content = (place / ZIP).read_bytes()
    _part(out / ZIP).parent.mkdir(parents=True)
    _part(out / ZIP).write_bytes(content[:5000])
    fetch()
    assert _asked(host, ZIP) == ["bytes=5000-"]
    assert (out / ZIP).read_bytes() == content
    assert _there(out) == USUAL


def test_a_part_that_is_all_there_is_not_fetched_again(fetch, host, out, place):
    _part(out / ZIP).parent.mkdir(parents=True)
    shutil.copyfile(place / ZIP, _part(out / ZIP))
    fetch()
    assert not _asked(host, ZIP)
    assert _there(out) == USUAL


@pytest.mark.parametrize("length", [5000, 11_587, 50_000])
def test_a_part_of_something_else_is_discarded(fetch, host, out, place, length):
    _part(out / ZIP).parent.mkdir(parents=True)
    _part(out / ZIP).write_bytes(bytes(length))
    fetch()
    assert _asked(host, ZIP)[-1] is None
    assert (out / ZIP).read_bytes() == (place / ZIP).read_bytes()
    assert _there(out) == USUAL


def test_a_host_that_breaks_off_is_asked_for_the_rest(fetch, host, out, place):
    host.breaks, host.times = {ZIP: 4000}, 2
    fetch()
    assert _asked(host, ZIP) == [None, "bytes=4000-", "bytes=8000-"]
    assert (out / ZIP).read_bytes() == (place / ZIP).read_bytes()


def test_a_host_without_ranges_is_read_from_the_beginning(fetch, host, out, place):
    host.ranges, host.breaks, host.times = False, {ZIP: 4000}, 1
    fetch()
    assert _asked(host, ZIP) == [None, "bytes=4000-"]
    assert (out / ZIP).read_bytes() == (place / ZIP).read_bytes()


def test_a_host_that_always_breaks_off_is_given_up(fetch, host, out):
    host.breaks = {ZIP: 0}
    with pytest.raises(SynthMedError, match=rf"phantom/1.0.0/{ZIP} could not be read .*run the same command again\.$"):
        fetch()
    assert ZIP not in _there(out) and "entry.json" not in _there(out)
    host.breaks = {}
    fetch()
    assert _there(out) == USUAL


@pytest.mark.parametrize("jobs", [1, 4])
def test_a_host_that_sends_something_else_is_refused(fetch, host, out, jobs):
    host.instead = {ZIP: bytes(11_587)}
    with pytest.raises(SynthMedError, match=rf"phantom/1.0.0/{ZIP} was changed, swapped or cut short"):
        fetch(jobs=jobs)
    assert not {ZIP, "entry.json"} & _there(out)


def test_a_host_that_lies_about_a_range_is_refused(fetch, host, out, place):
    _part(out / ZIP).parent.mkdir(parents=True)
    _part(out / ZIP).write_bytes((place / ZIP).read_bytes()[:5000])
    host.span = "bytes 0-11586/11587"
    with pytest.raises(
        SynthMedError, match=r"the host answered with the range 'bytes 0-11586/11587', not from byte 5000"
    ):
        fetch()
    assert _part(out / ZIP).read_bytes() == (place / ZIP).read_bytes()[:5000]


def test_a_host_that_has_less_than_is_signed_is_refused(fetch, host, out, place):
    _part(out / ZIP).parent.mkdir(parents=True)
    _part(out / ZIP).write_bytes((place / ZIP).read_bytes()[:5000])
    host.instead = {ZIP: (place / ZIP).read_bytes()[:3000]}
    with pytest.raises(SynthMedError, match=rf"phantom/1.0.0/{ZIP} was changed, swapped or cut short"):
        fetch()
    assert not {ZIP, "entry.json"} & _there(out)


def test_an_error_that_passes_is_got_over(fetch, host, out):
    host.status, host.times = 503, 2
    fetch()
    assert _there(out) == USUAL


def test_an_error_that_stays_is_said(fetch, host):
    host.status = 401
    with pytest.raises(
        SynthMedError, match=r"the host refuses metadata/1.root.json with HTTP status 401; try again later"
    ):
        fetch()


def test_nobody_at_an_address_is_said(tmp_path):
    with web_host.serving(tmp_path) as host:
        pass
    with pytest.raises(SynthMedError, match=r"1.root.json could not be read \(.*refused.*check the address"):
        Repository(Source(host.url), cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ftp://example.org/", "begins with ftp:; give an https:// address or a folder"),
        ("https://", "is no address of a repository"),
        ("https://user@example.org/", "is no address of a repository"),
        ("https://example.org/?a=b", "is no address of a repository"),
        ("absent/folder", "is no folder"),
    ],
)
def test_an_address_that_is_none_is_said(address, said):
    with pytest.raises(SynthMedError, match=said):
        Source(address)


def test_a_folder_and_its_address_are_one_source(made):
    by_path, by_url = Source(made / "repo"), Source((made / "repo").as_uri())
    assert by_path.digest == by_url.digest and by_path.folder == by_url.folder == made / "repo"


@pytest.mark.parametrize("name", ["thesis.tex", "README.md"])
def test_a_folder_with_something_else_is_left_alone(fetch, out, name):
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(SynthMedError, match=rf"out is there and holds a {name} that is not of phantom@1.0.0; choose"):
        fetch()
    assert _there(out) == {name}
    assert (out / name).read_text() == "mine"


def test_a_folder_with_another_version_is_left_alone(fetch, out):
    fetch()
    with pytest.raises(SynthMedError, match=r"out holds phantom@1.0.0, not shared@1.0.0; choose another --out"):
        fetch("shared")


def test_a_folder_that_another_process_fetches_into_is_left_alone(fetch, out):
    out.mkdir()
    with (
        files.exclusive(out / ".lock"),
        pytest.raises(SynthMedError, match=r"is being downloaded by pid \d+ on .*; wait for it"),
    ):
        fetch()
    fetch()
    assert _there(out) == USUAL


_COMMAND = (sys.executable, "-m", "synthmed_tf", "download", "phantom")


def _run(host, out, **options):
    command = (*_COMMAND, "--from", host.url, "--out", str(out), "--jobs", "1")
    environment = os.environ | {"XDG_CACHE_HOME": str(out.parent / "cache")}
    return subprocess.run(command, capture_output=True, text=True, env=environment, **options)


def test_a_full_disk_is_one_sentence(host, out):
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    done = _run(host, out, preexec_fn=limited)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("synthmed: ") and "cannot be written (File too large)" in done.stderr
    assert "Traceback" not in done.stderr
    assert not {ZIP, "entry.json"} & _there(out)
    assert _run(host, out).returncode == 0
    assert _there(out) == USUAL


def test_a_download_that_was_killed_goes_on(host, out, place):
    running = []

    def kill(path):
        if path.endswith(ZIP) and host.asked[-1][1] is not None and len(running) == 1:
            os.kill(running.pop(), signal.SIGKILL)

    host.breaks, host.times, host.before = {ZIP: 5000}, 1, kill
    environment = os.environ | {"XDG_CACHE_HOME": str(out.parent / "cache")}
    command = (*_COMMAND, "--from", host.url, "--out", str(out))
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        running.append(process.pid)
    assert process.returncode == -signal.SIGKILL
    assert ZIP not in _there(out) and _part(out / ZIP).stat().st_size == 5000
    host.asked.clear()
    assert _run(host, out).returncode == 0
    assert _asked(host, ZIP) == ["bytes=5000-"]
    assert _there(out) == USUAL


def test_searching_and_fetching_import_no_tensorflow(host, out):
    code = (
        "import sys; from synthmed_tf.cli.main import main\n"
        f"main(['search', '--from', {host.url!r}], standalone_mode=False)\n"
        f"main(['download', 'phantom', '--from', {host.url!r}, '--out', {str(out)!r}], standalone_mode=False)\n"
        "assert not {'tensorflow', 'keras', 'onnx'} & set(sys.modules)"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(out.parent / "cache")}
    subprocess.run((sys.executable, "-c", code), check=True, capture_output=True, env=environment)
    assert _there(out) == USUAL


def test_a_cache_that_cannot_be_written_is_said(made, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    with pytest.raises(
        SynthMedError, match=r"cache/repositories cannot be written \(Not a directory\); free space or get"
    ):
        Repository(Source(made / "repo"), cache=tmp_path / "cache")


def test_the_first_contact_says_whom_it_trusts(made, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    arguments = ["download", "phantom@1.0.0", "--from", str(made / "repo"), "--out", str(tmp_path / "out")]
    fingerprint = hashlib.sha256((made / "repo/metadata/1.root.json").read_bytes()).hexdigest()
    first, second = (CliRunner().invoke(main, arguments) for _ in range(2))
    assert first.exit_code == second.exit_code == 0
    assert f"its root has the fingerprint {fingerprint}, and is trusted from now on" in first.stderr
    assert second.stderr == ""
    assert second.stdout == f"phantom@1.0.0 is in {tmp_path / 'out'}: 12 files, as signed (0 fetched now, 0.0 MB)\n"


def test_a_root_that_was_had_otherwise_is_demanded(made, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    root = made / "repo/metadata/1.root.json"
    arguments = ["search", "--from", str(made / "repo"), "--root"]
    done = CliRunner().invoke(main, [*arguments, str(root)])
    assert (done.exit_code, done.stderr) == (0, "")
    (tmp_path / "other.json").write_bytes(root.read_bytes().replace(b"ed25519", b"ed25518"))
    done = CliRunner().invoke(main, [*arguments, str(tmp_path / "other.json")])
    assert done.exit_code == 2 and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["phantom", "shared"])
def test_a_set_is_loaded_as_pairs(made, tmp_path, name):
    loaded = synthmed_tf.repository.load(name, made / "repo", tmp_path / "cache")
    assert loaded.card.name == name and loaded.card.count == published.COUNT
    seen = list(loaded.dataset.as_numpy_iterator())
    assert len(seen) == published.COUNT
    for index, (image, mask) in enumerate(seen):
        expected = published.pair(index)
        np.testing.assert_array_equal(mask, expected[0], strict=True)
        np.testing.assert_array_equal(image, expected[1], strict=True)


def test_a_set_that_was_withdrawn_is_not_loaded(made, tmp_path):
    repo = published.copied(made, tmp_path / "made")
    publishing.withdraw(repo, repo.parent / "keys", "phantom@1.0.0", "pair 2 is a copy")
    with pytest.raises(SynthMedError, match=r"phantom@1.0.0 was withdrawn on .*: pair 2 is a copy; do not use it"):
        synthmed_tf.repository.load("phantom", repo, tmp_path / "cache")


def test_a_fingerprint_is_demanded_on_loading(made, tmp_path):
    with pytest.raises(SynthMedError, match="has a root with the fingerprint"):
        synthmed_tf.repository.load("phantom", made / "repo", tmp_path / "cache", fingerprint="0" * 64)


def test_an_image_that_claims_to_be_larger_is_refused_before_it_is_unpacked(made, tmp_path):
    import tensorflow as tf

    from synthmed_tf.repository.read import loading

    bomb = published.black_png(4_000)
    features = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[bomb])) for name in ("image", "mask")}
    example = tf.train.Example(features=tf.train.Features(feature=features))
    with tf.io.TFRecordWriter(str(tmp_path / "bomb")) as writer:
        writer.write(example.SerializeToString())
    with pytest.raises(tf.errors.InvalidArgumentError):
        next(iter(loading._tfrecords([str(tmp_path / "bomb")], published.SIZE)))
