"""Names of images that a container engine would accept, and others."""

import pytest

from domain.image_reference import MAX_REFERENCE, is_image_reference

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    "text",
    [
        "registry.example.com/project:1.2.0",
        "project",
        "a/b/c",
        "localhost:5000/a_b/c__d/e.f-g--h:Tag_1.2-x",
        "[2001:db8::1]:5000/a",
        f"registry.example.com/project@{DIGEST}",
        f"registry.example.com/project:1.2.0@{DIGEST}",
    ],
)
def test_references(text):
    assert is_image_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://registry.example.com/project:1.2.0",
        "user:password@registry.example.com/project",
        "a/Upper",
        "a//b",
        "/a",
        "a/",
        "a:",
        "a:b:c",
        "a b",
        "a\n",
        "-a",
        "a___b",
        "a@sha256:00",
        "a:" + "t" * 129,
        "a/" * 130 + "a",
        "a" * (MAX_REFERENCE + 1),
        "é",
    ],
)
def test_what_is_none(text):
    assert not is_image_reference(text)


@pytest.mark.timeout(60)
def test_no_text_takes_long():
    for text in ("a-" * 500 + "!", "a." * 500 + "!", "a/" * 500, "_" * 1000, "a" * 1000 + ":"):
        assert not is_image_reference(text)
