"""Web pages that servers send instead of files: recognised, and told apart."""

from __future__ import annotations

import pytest

from nr3d.weights.pages import looks_like_html, page_of


@pytest.mark.parametrize(
    "head",
    [
        *(b"<!DOCTYPE html>", b"<html lang='en'>", b"<HEAD>", b"\xef\xbb\xbf\r\n <html>"),
        b'<?xml version="1.0"?><!DOCTYPE x><html xmlns="http://www.w3.org/1999/xhtml">',
    ],
)
def test_pages_are_recognised(head: bytes) -> None:
    assert looks_like_html(head)


@pytest.mark.parametrize("head", [b"", b"PK\3\4<html>", b"<?xml version='1.0'?><svg/>", b"\x80\2}"])
def test_other_files_are_not_taken_for_pages(head: bytes) -> None:
    assert not looks_like_html(head)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<title>Quota exceeded</title>", "a quota page ('Quota exceeded')"),
        (b"Too many users have viewed this file", "a quota page"),
        (b'<input type="password">', "a login page"),
        (b'<a href="https://accounts.google.com/v3">', "a login page"),
        (b"<title>Sign in</title>", "a login page ('Sign in')"),
        (b"Please log in first", "a login page"),
        (b"a blog in English, signing in vain", "a web page"),
        (b"<title>Moved &amp; gone</title>", "a web page ('Moved & gone')"),
        (b"<title>no end", "a web page"),
    ],
)
def test_a_page_is_named_with_its_title(content: bytes, words: str) -> None:
    assert page_of(content) == f"answered with {words} instead of the file"
