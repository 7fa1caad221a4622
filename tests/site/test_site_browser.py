"""A site as a visitor uses it: one headless Chromium goes through all of it, and each test looks at what it saw."""

import base64
import contextlib
import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers import sites
from helpers.paths import TESTS

from synthmed_tf import images
from synthmed_tf.evaluation.verdict import QUESTIONS
from synthmed_tf.exporting import artifact, parity
from synthmed_tf.repository.entry import Entry
from synthmed_tf.site import building

WEB = TESTS / "web"
PACKAGES = WEB / "node_modules"
RUNTIME = PACKAGES / "onnxruntime-web"
TINT = (38, 226, 208)
ENTRY = "entries/eyes/1.1.0/index.html"
PAGES = (
    "index.html",
    ENTRY,
    "entries/eyes/1.1.0/report.html",
    "entries/plain/1.0.0/index.html",
    "entries/gone/1.0.0/index.html",
    "entries/hostile/1.0.0/index.html",
)

if shutil.which("node") is None:
    pytest.skip("no node on the path", allow_module_level=True)
if not all((PACKAGES / name).is_dir() for name in ("axe-core", "onnxruntime-web", "puppeteer-core")):
    pytest.skip("no packages in tests/web: run npm ci there", allow_module_level=True)
if not Path(os.environ.get("CHROMIUM") or "/usr/bin/chromium").exists():
    pytest.skip("no Chromium; CHROMIUM names its program", allow_module_level=True)


@pytest.fixture(scope="module")
def repository(tiny_artifact, tmp_path_factory):
    return sites.make(tmp_path_factory.mktemp("repository"), tiny_artifact)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """What the browser saw: `facts.json`, and a file that it downloaded."""
    return tmp_path_factory.mktemp("seen")


@pytest.fixture(scope="module")
def facts(repository, tmp_path_factory, out):
    """Of a visit to `synthmed serve`, and to a plain host that has changed a generator."""
    plain = tmp_path_factory.mktemp("plain") / "site"
    building.build(repository, plain, RUNTIME)
    _change(plain / "repository/targets/eyes/1.1.0/generator/generator.onnx")
    with _served(repository) as site, _plain_host(plain) as host:
        job = out / "job.json"
        job.write_text(json.dumps({"site": site, "plain": host}))
        subprocess.run(["node", WEB / "site.mjs", job, out], check=True, timeout=300)
    return json.loads((out / "facts.json").read_text())


@contextlib.contextmanager
def _served(repository):
    command = [sys.executable, "-m", "synthmed_tf", "site", "serve", repository, "--port", "0"]
    with subprocess.Popen([*command, "--onnxruntime-web", RUNTIME], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


@contextlib.contextmanager
def _plain_host(folder):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def _change(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()  # it may be a link to the repository's own
    file.write_bytes(content)


def _seen(facts, name):
    assert "failed" not in facts[name], facts[name]["failed"]
    return facts[name]


def _rgba(text, size=32):
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(size, size, 4)


def _generated(tiny_artifact, seed, indices):
    opened = artifact.open_artifact(tiny_artifact, "onnx")
    masks, images = opened.pixels(np.full(len(indices), seed, np.int64), np.array(indices, np.int64))
    return masks, images


def _assert_pairs(pairs, generated):
    masks, images = generated
    assert len(pairs) == len(masks)
    for pair, mask, image in zip(pairs, masks, images, strict=True):
        np.testing.assert_array_equal(_rgba(pair["mask"])[..., :3], np.repeat(mask, 3, axis=-1))
        np.testing.assert_allclose(_rgba(pair["image"])[..., :3].astype(int), image, atol=parity.MOST_GREY_LEVELS)


def test_the_start_page_lists_the_newest_version_of_each_set(facts):
    published = _seen(facts, "start")["published"]
    assert published["ids"] == ["eyes@1.1.0", "hostile@1.0.0", "plain@1.0.0", "gone@1.0.0"]
    assert published["badges"] == ["✗FAIL", "–not evaluated", "–not evaluated", "⊘withdrawn"]
    assert published["licenses"] == ["CC-BY-4.0", sites.HOSTILE["license"], "CC0-1.0", "CC-BY-4.0"]


def test_a_search_is_in_the_address(facts):
    start = _seen(facts, "start")
    assert start["shared"] == "?q=RARE-word+angio"
    assert start["searched"] == start["reloaded"] == ["plain@1.0.0"]


def test_filters(facts):
    start = _seen(facts, "start")
    assert start["unevaluated"] == ["hostile@1.0.0", "plain@1.0.0"]
    assert start["license"] == ["plain@1.0.0"]
    assert start["none"] == []
    assert start["generator"] == ["eyes@1.1.0"]
    assert start["restored"] == start["published"]["ids"]


def test_a_set_that_was_found_is_opened(facts):
    assert _seen(facts, "start")["address"].endswith(ENTRY)


def test_the_mask_lies_tinted_over_the_image(facts, repository):
    viewer, folder = _seen(facts, "viewer"), repository / "targets/eyes/1.1.0"
    pair = Entry.model_validate_json((folder / "entry.json").read_bytes()).previews[0]
    image = images.decode_png((folder / pair.image).read_bytes())
    mask = images.decode_png((folder / pair.mask).read_bytes()).squeeze()
    np.testing.assert_array_equal(_rgba(viewer["image"])[..., :3], image)
    tinted = _rgba(viewer["mask"])
    np.testing.assert_array_equal(tinted[..., 3], mask)
    assert set(map(tuple, tinted[mask > 0][:, :3])) == {TINT}
    assert viewer["first"] == {"zoom": 1, "opacity": 0.65, "place": "matrix(1, 0, 0, 1, 0, 0)", "shown": "1 of 12"}


def test_the_viewer_by_mouse(facts):
    viewer = _seen(facts, "viewer")
    assert [viewer[state]["opacity"] for state in ("slid", "held", "released")] == [1, 0, 1]
    assert viewer["zoomed"]["zoom"] == 1.5
    moved = [np.array(viewer[state]["place"][7:-1].split(", "), float) for state in ("zoomed", "dragged")]
    np.testing.assert_allclose(moved[1] - moved[0], [0, 0, 0, 0, -30, 20], atol=1e-3)
    assert viewer["picked"]["shown"] == "4 of 12" and viewer["picked"]["zoom"] == 1


def test_the_viewer_by_keyboard(facts):
    viewer = _seen(facts, "viewer")
    assert viewer["focus"] == {"visible": True, "outline": "solid"}
    assert viewer["stepped"]["shown"] == "5 of 12"
    assert [viewer[state]["opacity"] for state in ("spaceDown", "spaceUp")] == [0, 1]
    assert [viewer[state]["zoom"] for state in ("keyed", "out", "escaped")] == [1.5, 1, 1]
    assert viewer["keyed"]["shown"] == "5 of 12"


def test_the_browser_generates_what_the_server_generates(facts, tiny_artifact):
    generate = _seen(facts, "generate")
    assert generate["generated"]["isolated"]
    assert generate["generated"]["said"].startswith("4 pairs in ")
    assert generate["generated"]["said"].endswith("by a generator whose SHA-256 is the one that is signed.")
    assert [pair["index"] for pair in generate["generated"]["pairs"]] == ["40", "41", "42", "43"]
    _assert_pairs(generate["generated"]["pairs"], _generated(tiny_artifact, -(2**63), range(40, 44)))
    _assert_pairs(generate["again"]["pairs"], _generated(tiny_artifact, 7, [3]))


def test_a_plain_host_is_enough_to_generate(facts, tiny_artifact):
    generated = _seen(facts, "elsewhere")["generated"]
    assert not generated["isolated"]
    _assert_pairs(generated["pairs"], _generated(tiny_artifact, 7, [2]))


def test_numbers_that_are_none_get_a_sentence(facts):
    refused = _seen(facts, "generate")["refused"]
    seeds = "Seed must be a whole number from -9223372036854775808 to 9223372036854775807, not"
    assert refused["1.5 0"] == f"{seeds} 1.5."
    assert refused["9223372036854775808 0"] == f"{seeds} 9223372036854775808."
    assert refused[" 0"] == f"{seeds} empty."
    assert refused["0 -1"] == "Index must be a whole number from 0 to 9223372036854775807, not -1."
    assert refused["0 9223372036854775807"].startswith("Index goes beyond 9223372036854775807 with 4 pairs")


def test_a_browser_without_webassembly_says_so(facts):
    assert _seen(facts, "generate")["bare"] == "This browser has no WebAssembly, which generating needs."


def test_a_generator_that_is_missing_or_changed_generates_nothing(facts):
    seen = _seen(facts, "elsewhere")
    assert seen["missing"]["said"] == "The generator cannot be fetched (HTTP status 404); tell the publisher."
    assert "is not the one that is signed, so nothing is generated with it" in seen["tampered"]["said"]
    assert seen["missing"]["pairs"] == seen["tampered"]["pairs"] == []


def test_a_download_is_what_the_page_says(facts, out):
    download = _seen(facts, "download")
    assert download["name"] == "imagefolder/train-00000-of-00001.zip"
    content = (out / "train-00000-of-00001.zip").read_bytes()
    assert hashlib.sha256(content).hexdigest() == download["sha256"]
    assert download["size"] == f"{len(content) / 1000:.1f} kB"


def test_what_is_copied_names_this_host(facts, out):
    site = json.loads((out / "job.json").read_text())["site"]
    command = f"synthmed download eyes@1.1.0 \\\n  --from {site}repository \\\n  --out eyes"
    assert _seen(facts, "download")["copied"] == command


@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_nothing(facts, page):
    found = _seen(facts, "accessibility")[page]
    for scheme in ("light", "dark"):
        assert found[scheme]["violations"] == []
        assert "color-contrast" in found[scheme]["passes"]
    assert found["beyond"] == {"320": 0, "375": 0, "1440": 0}


def test_no_policy_is_violated_and_no_other_host_is_asked(facts):
    assert facts["trouble"] == {"violations": [], "errors": [], "elsewhere": []}


def test_without_scripts_the_facts_are_there(facts):
    pages = _seen(facts, "unscripted")
    start, entry, report, plain, gone, _ = (pages[page] for page in PAGES)
    assert start["form"] == entry["form"] == 0
    for fact in ("eyes@1.1.0", "CC-BY-4.0", "12 pairs · 32 × 32 px", "retina, fundus photography", "FAIL", "withdrawn"):
        assert fact in start["text"]
    assert sum("/entries/" in link for link in start["links"]) == 4
    assert entry["images"] == 24
    for fact in (*QUESTIONS.values(), "Masks are binary.", "utility found 0.125".capitalize(), "0.9.0", "SHA-256"):
        assert fact in entry["text"]
    assert "Fixed in advance; they are not options." in report["text"]
    assert plain["text"].count("not evaluated") >= len(QUESTIONS) + 1
    assert "The publisher does not share the generator of this set." in plain["text"]
    assert sites.REASON in gone["text"]


def test_hostile_metadata_is_text(facts):
    hostile = _seen(facts, "hostile")
    title = sites.HOSTILE["title"].replace("\u202e", "\ufffd")
    assert hostile["listed"] == {"title": title, "document": sites.TITLE}
    assert hostile["heading"] == title and hostile["document"] == f"{title}, 1.0.0"
    for text in (
        *sites.HOSTILE["creators"],
        sites.SCRIPT,
        "<b>bold</b>",
        "<u>organ</u>",
        "{{ 7 * 7 }}",
        "${7 * 7} \ufffd",
    ):
        assert text in hostile["text"]
    assert hostile["strange"] == 0
    assert hostile["scripts"] == ["../../../static/entry.mjs"]
    assert set(hostile["links"]) == {"http:"}
