"""Pages, archives and models that somebody made to do harm."""

import stat
import tarfile
import zipfile
from pathlib import Path

import onnx
import pytest
from helpers import published, reports

from synthmed_tf.evaluation import page, report
from synthmed_tf.exporting import artifact
from synthmed_tf.repository.verify import archives, file_content
from synthmed_tf.repository.verify.archives import Refused
from synthmed_tf.repository.verify.file_content import check_savedmodel

pytestmark = pytest.mark.once


def _page(body: str) -> str:
    return f"<!doctype html><html><head><style>p {{ color: red }}</style></head><body>{body}</body></html>"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('<p>fine</p><img src="data:image/png;base64,AAAA"><a href="#top">up</a><svg viewBox="0"></svg>', None),
        ("<script>alert(1)</script>", "holds <script>"),
        ("<img src=x onerror=alert(1)>", "refers to x"),
        ('<p ONCLICK="x">', "holds onclick=, which runs a script"),
        ('<a href=" java\nscript:alert(1)">', "refers to java script:alert(1)"),
        ('<img src="https://example.org/a.png">', "refers to https://example.org/a.png"),
        ('<meta http-equiv="refresh" content="0;url=//example.org">', "holds <meta http-equiv>"),
        ("<iframe></iframe>", "holds <iframe>"),
        ("<![CDATA[ > <script>alert(1)</script> ]]>", "holds a comment or another declaration"),
        ("<!-- > <script> -->", "holds a comment or another declaration"),
        ("<svg><style><img src=x onerror=alert(1)></style></svg>", "holds a style with <"),
        ("<style>p { background: url(//example.org) }</style>", "holds a style with url("),
        ('<p style="background: u\\72l(//example.org)">', "holds a style with \\"),
        ('<svg><path fill="url(//example.org/a.svg#b)">', "holds a style with url("),
        ('<svg><path clip-path="url(#a)" style="fill: none"></svg>', None),
        ('<p title="x><script>alert(1)</script>', "does not end where its last tag ends"),
        ("<style>@import 'a'</style>", "holds a style with @import"),
        ("<svg><foreignObject>", "holds <foreignobject>"),
    ],
)
def test_a_report_holds_no_script(tmp_path, body, said):
    (tmp_path / "report.html").write_text(_page(body))
    found = list(file_content.look(tmp_path / "report.html", "report/report.html"))
    assert [what.startswith(said) for what in found] == ([True] if said else [])


@pytest.mark.parametrize("text", ["<a ", "< ", "![", "](", "\\<", "<a on", "&lt;"])
def test_words_without_end_are_looked_through(tmp_path, text):
    (tmp_path / "README.md").write_text((text * 400_000)[:900_000])
    assert list(file_content.look(tmp_path / "README.md", "README.md")) == []


def test_a_page_of_the_evaluation_passes(tmp_path):
    context = reports.made_context(tmp_path / "cache")
    sections = reports.made_sections(context)
    text = page.render(report.make(context, sections, real_images=True), sections, context)
    (tmp_path / "report.html").write_text(text)
    assert len(text) > 100_000
    assert list(file_content.look(tmp_path / "report.html", "report/report.html")) == []


def _zip(path: Path, change=None, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name)
            member.external_attr, member.compress_type = 0o100644 << 16, zipfile.ZIP_DEFLATED
            if change:
                change(member)
            archive.writestr(member, content)
    return path


def _mode(mode):
    return lambda member: setattr(member, "external_attr", mode << 16)


@pytest.mark.parametrize(
    ("change", "members", "said"),
    [
        (None, {"../a": b""}, "holds a name that is not allowed"),
        (None, {"/etc/passwd": b""}, "holds a name that is not allowed"),
        (None, {"a\\..\\b": b""}, "holds a name that is not allowed"),
        (None, {"C:a": b""}, "holds a name that is not allowed"),
        (None, {"a": b"", "A": b""}, "holds names that clash"),
        (None, {"a": b"", "a/b": b""}, "holds names that clash"),
        (_mode(stat.S_IFLNK | 0o644), {"a": b"/etc/passwd"}, "holds 'a', which is a link or no regular file"),
        (_mode(stat.S_IFREG | 0o755), {"a": b"x"}, "holds 'a', which is marked executable"),
        (None, {"a": bytes(30_000_000)}, "holds 'a', which unpacks to 30000000 bytes from"),
        (None, {"a": bytes(65_000_000)}, "holds 'a' of 65000000 bytes, more than 64 MB"),
    ],
)
def test_zip_files_that_do_harm_are_refused_before_they_are_unpacked(tmp_path, change, members, said):
    path = _zip(tmp_path / "a.zip", change, **members)
    with pytest.raises(Refused) as refused:
        next(archives.zip_members(path))
    assert str(refused.value).startswith(said)


def test_a_zip_file_whose_members_overlap_is_refused(tmp_path):
    content = bytearray(_zip(tmp_path / "a.zip", aa=bytes(99), bb=bytes(99)).read_bytes())
    second = content.rindex(b"PK\1\2")
    content[second + 42 : second + 46] = (1).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(Refused, match="'bb', which overlaps another member"):
        next(archives.zip_members(tmp_path / "a.zip"))


def test_a_zip_file_behind_a_program_is_refused(tmp_path):
    path = _zip(tmp_path / "a.zip", a=b"x")
    path.write_bytes(b"#!/usr/bin/env python3\n" + path.read_bytes())
    with pytest.raises(Refused, match="something stands before or behind its members"):
        next(archives.zip_members(path))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "../a"}, "holds a name that is not allowed"),
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "holds 'a', which is a link or no regular file"),
        ({"type": tarfile.LNKTYPE, "linkname": "b"}, "holds 'a', which is a link or no regular file"),
        ({"type": tarfile.CHRTYPE}, "holds 'a', which is a link or no regular file"),
        ({"type": tarfile.GNUTYPE_SPARSE}, "holds 'a', which is a link or no regular file"),
        ({"mode": 0o755}, "holds 'a', which is marked executable"),
        ({"size": 1 << 33}, "holds 'a' of 8589934592 bytes, more than 64 MB"),
    ],
)
def test_tar_files_that_do_harm_are_refused_before_they_are_unpacked(tmp_path, fields, said):
    member = tarfile.TarInfo("a")
    for name, value in fields.items():
        setattr(member, name, value)
    (tmp_path / "a.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(Refused) as refused:
        list(archives.tar_members(tmp_path / "a.tar"))
    assert str(refused.value).startswith(said)


def _onnx(path: Path, change) -> None:
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())


def _external(model):
    weights = onnx.TensorProto(name="w", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value="../../etc/passwd")
    inner = onnx.GraphProto(name="inner", initializer=[weights])
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("body", inner))


def _foreign(model):
    model.opset_import.add(domain="com.evil", version=1)
    model.graph.node[0].domain = "com.evil"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_external, "keeps weights in another file"),
        (_foreign, "has the operator Identity of com.evil, which is not part of ONNX"),
        (
            lambda model: setattr(model.graph.node[0], "domain", "evil"),
            "has the operator Identity of evil, which is not part of ONNX",
        ),
        (
            lambda model: setattr(model.graph.node[0], "op_type", "NoSuch"),
            "has the operator NoSuch of ONNX, which is not part of ONNX",
        ),
        (lambda model: model.graph.ClearField("node"), "is no ONNX file"),
    ],
)
def test_an_onnx_file_only_computes_with_what_it_holds(tmp_path, change, said):
    path = published.artifact(tmp_path) / "generator.onnx"
    assert list(file_content.look(path, "generator/generator.onnx")) == []
    _onnx(path, change)
    (found,) = file_content.look(path, "generator/generator.onnx")
    assert found.startswith(said)


def test_a_savedmodel_that_runs_python_is_refused(tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.run = tf.function(
        lambda x: tf.numpy_function(lambda y: y, [x], tf.float32), input_signature=[tf.TensorSpec([], tf.float32)]
    )
    tf.saved_model.save(module, str(tmp_path))
    with pytest.raises(Refused, match="names the operator PyFunc, which runs Python or reaches files or hosts"):
        check_savedmodel(tmp_path / "saved_model.pb")


@pytest.mark.slow
def test_a_real_savedmodel_and_onnx_file_pass(tiny_artifact):
    for name in ("savedmodel/1/saved_model.pb", "generator.onnx", "savedmodel/1/variables/variables.index"):
        assert list(file_content.look(tiny_artifact / name, f"generator/{name}")) == []
    for path in tiny_artifact.rglob("*"):
        if path.is_file():
            assert file_content.kind(f"generator/{path.relative_to(tiny_artifact).as_posix()}") is not None


@pytest.mark.parametrize("file", sorted({*artifact.RUNTIMES.values(), artifact.ONNX_LATENT} - {artifact.SAVEDMODEL}))
def test_every_onnx_file_of_an_artifact_has_its_place(file):
    assert file_content.kind(f"generator/{file}") == "onnx"
    assert file_content.kind(f"generator/other/{file}") is None
