"""`README.md`: what it says, that the Hub reads its head, and that a publisher's text is only text."""

import json

import pytest
import yaml
from helpers.entries import built, request, write_report
from markdown_it import MarkdownIt

from synthmed_tf.exporting.artifact import open_artifact
from synthmed_tf.generation import synthesis
from synthmed_tf.repository.publish import card_text, readme


@pytest.fixture(scope="module")
def generated(tiny_artifact, tmp_path_factory):
    """A set of 12 pairs. Not to be changed."""
    out = tmp_path_factory.mktemp("sets") / "set"
    synthesis.generate_set(open_artifact(tiny_artifact, "onnx"), out, 12, seed=4)
    return out


@pytest.fixture(scope="module")
def plain(generated, tmp_path_factory):
    """Head and body of a version with harmless texts."""
    return _readme(request(generated, license="x", description="d"), tmp_path_factory.mktemp("versions") / "plain")


def _readme(made, folder):
    """The head and the rest."""
    built(made, folder)
    text = (folder / "README.md").read_text(encoding="utf-8")
    _, head, body = text.split("---\n", 2)
    return yaml.safe_load(head), body


def _html(markdown):
    return MarkdownIt("commonmark").enable("table").render(markdown)


def test_the_head_is_what_hugging_face_reads(generated, tmp_path):
    head, _ = _readme(request(generated, keywords=("drusen",)), tmp_path / "version")
    assert head == {
        "license": "cc-by-4.0",
        "pretty_name": "Tiny eyes",
        "size_categories": ["n<1K"],
        "task_categories": ["image-segmentation"],
        "annotations_creators": ["machine-generated"],
        "source_datasets": ["original"],
        "tags": ["synthetic", "medical imaging", "retina", "fundus photography", "vessel segmentation", "drusen"],
        "configs": [
            {"config_name": "default", "data_files": [{"split": "train", "path": "imagefolder/*.zip"}]},
        ],
    }


def test_verdicts_are_told_in_plain_words(generated, tmp_path):
    _, body = _readme(request(generated, report=write_report(generated, tmp_path / "evaluated")), tmp_path / "version")
    assert "Overall: **FAIL**" in body and " by a quick look, with few and short trainings. " in body
    assert "| Is any pair a copy of a real one? | **PASS** (no) | copies found 0.125 (limit: copies limit) |" in body
    assert (
        "| Do the images show their masks? | **CANNOT TELL** | fidelity found 0.125 (limit: fidelity limit) What"
        in body
    )
    assert "What would help: about 9 unseen patients" in body


def test_what_is_not_stated_is_not_invented(generated, tmp_path):
    _, body = _readme(request(generated), tmp_path / "version")
    for line in ("| name | not stated |", "| license | not stated |", "| attribution | not stated |"):
        assert line in body
    assert "**Was there an ethical review?** not stated." in body
    stated = {"data_name": "EYES-5", "data_license": "CC0 1.0", "data_attribution": "Ada, 1843"}
    _, body = _readme(request(generated, **stated), tmp_path / "stated")
    for line in ("| name | EYES-5 |", "| license | CC0 1.0 |", "| attribution | Ada, 1843 |"):
        assert line in body


HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "[click](javascript:alert(3)) ![x](https://evil.example/x.png) <https://evil.example>",
    "`code` **bold** _it_ ~~no~~ | cell | cell\n\n# heading\n\n---\n- list\n1. one\n```\nfence",
    "title: &anchor *alias\n---\n- !!python/object/apply:os.system ['true']",
    "\u202eright to left\u202c \x1b[31mred\x07 \x00 zero\u200bwidth",
    "&lt;b&gt; &#60;script&#62; \\<b> {{ 7 * 7 }} {% raw %} $x^2$",
    "www.evil.example someone@evil.example https://evil.example",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(generated, plain, tmp_path, text):
    stated = {"data_name": text, "data_license": text, "data_attribution": text}
    made = request(generated, title=text, description=text, creators=(text,), keywords=(text,), license=text, **stated)
    head, body = _readme(made, tmp_path / "hostile")
    assert head.keys() == plain[0].keys() and head["license"] == "other"
    assert head["pretty_name"] == head["license_name"] == head["tags"][-1] == readme._line(text)
    html, expected = _html(body), _html(plain[1])
    for tag in ("<script", "<img", "<a ", "<h1>", "<h2>", "<hr", "<ul", "<ol", "<em>", "<s>", "<td>", "<pre", "<code"):
        assert html.count(tag) == expected.count(tag), tag
    assert not {"\x1b", "\x07", "\x00", "\u202e", "\u200b"} & set(body)


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped_text_reads_as_it_was(text):
    inline = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(readme.escaped(text))
    assert [token.type for token in inline] == ["paragraph_open", "inline", "paragraph_close"]
    assert {child.type for child in inline[1].children} <= {"text", "text_special"}
    assert "".join(child.content for child in inline[1].children) == readme._line(text)


@pytest.mark.parametrize("text", ["- x", "+ x", "= x", "12. x", "3) x", "# x", "> x", "    code", "1.0", "-"])
def test_no_block_begins(text):
    rendered = MarkdownIt("commonmark").render(readme.escaped(text))
    assert rendered.startswith("<p>") and rendered.count("<") == 2


@pytest.mark.parametrize(
    ("said", "known"),
    [("CC BY 4.0", "CC-BY-4.0"), ("cc-by-4.0", "CC-BY-4.0"), ("mit", "MIT"), ("CC0 1.0", "CC0-1.0"), ("mine", None)],
)
def test_licenses_are_known_by_their_usual_names(said, known):
    assert card_text.spdx(said) == known
    assert card_text.license_url(said) == (known and f"https://spdx.org/licenses/{known}.html")


def test_the_sets_own_license_is_told_of_a_generator_that_is_not_shared(generated, tmp_path):
    _, body = _readme(request(generated), tmp_path / "version")
    assert json.loads((generated / "card.json").read_text())["license"] == "CC BY 4.0"
    assert "It is not shared. Its license by the set's card: CC BY 4.0." in body
