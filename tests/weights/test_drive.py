"""Google Drive with gdown's own parser; only the way to Google's hosts is replaced."""

from __future__ import annotations

import io
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import requests
import torch

from nr3d.errors import WeightsError
from nr3d.weights import Source, WeightsEntry, fetch
from nr3d.weights.cache import weights_folder
from nr3d.weights.http import Patience

FILE_ID = "13lprTFafpXORqs7XXMLYaelbtw6NxQM1"


def checkpoint() -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": {"module.conv1.weight": torch.rand(300_000)}}, buffer)
    return buffer.getvalue()


CONTENT = checkpoint()
FIELDS = {"id": FILE_ID, "export": "download", "confirm": "t"}
CONFIRM = (
    "<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>"
    '<form id="download-form" action="https://drive.usercontent.google.com/download" method="get">'
    + "".join(f'<input type="hidden" name="{k}" value="{v}">' for k, v in FIELDS.items())
    + '<input type="submit" value="Download anyway"/></form></body></html>'
).encode()
QUOTA = (
    b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><body>"
    b'<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently. '
    b"Please try accessing the file again later.</p></body></html>"
)
ENTRY = WeightsEntry("nr3d_resnet18_ibn.drive", (Source(drive=FILE_ID),))


@pytest.fixture(autouse=True)
def drive(server, no_weights: object, monkeypatch: pytest.MonkeyPatch):
    """Google's hosts answer from this machine: ``/uc`` with a page, ``/download`` with the file."""
    server.files |= {"/uc": CONFIRM, "/download": CONTENT}
    original = requests.adapters.HTTPAdapter.send
    asked = []

    def send(self, request: requests.PreparedRequest, **options):
        parts = urlsplit(request.url)
        if not parts.hostname.endswith("google.com"):
            return original(self, request, **options)
        asked.append(f"{parts.hostname}{parts.path}?{parts.query}")
        request.url = urlunsplit(("http", server.url[7:], parts.path, parts.query, ""))
        answer = original(self, request, **options)
        if parts.path == "/uc":
            answer.headers["Content-Type"] = "text/html; charset=utf-8"
        else:
            answer.headers["Content-Disposition"] = 'attachment; filename="w.pth.tar"'
        return answer

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    server.asked = asked
    return server


def names() -> list[str]:
    return sorted(p.name for p in weights_folder().iterdir())


def test_the_confirm_page_leads_to_the_file(drive) -> None:
    path = fetch(ENTRY)
    assert path.read_bytes() == CONTENT
    assert [where.split("?")[0] for where in drive.asked] == [
        "drive.google.com/uc",
        "drive.usercontent.google.com/download",
    ]
    assert "confirm=t" in drive.asked[1]
    assert names() == [path.name, f"{path.name}.json"]
    assert fetch(ENTRY) == path
    assert len(drive.asked) == 2


def test_the_page_and_the_file_together_have_a_time(drive) -> None:
    """A second passes before the page; the second that the file then asks for is too much."""
    drive.script, drive.headers = ["503", "good", "503"], {"Retry-After": "1"}
    with pytest.raises(WeightsError, match="HTTP 503"):
        fetch(ENTRY, patience=Patience(total=1.6))
    assert [path.split("?")[0] for path, _ in drive.requests] == ["/uc", "/uc", "/download"]


def test_a_quota_page_is_named_and_the_next_source_is_tried(
    drive, hasty: Patience, tmp_path: Path
) -> None:
    drive.files["/uc"] = QUOTA
    with pytest.raises(WeightsError, match=rf"Google Drive {FILE_ID}: answered with a quota"):
        fetch(ENTRY, patience=hasty)
    assert not any(name.endswith(".pth") for name in names())
    (tmp_path / "w.pth").write_bytes(CONTENT)
    drive.files["/w.pth"] = CONTENT
    sources = (*ENTRY.sources, Source(url=f"{drive.url}/w.pth"))
    assert fetch(WeightsEntry(ENTRY.name, sources), patience=hasty).read_bytes() == CONTENT


def test_a_page_in_the_files_place_is_no_file(drive, hasty: Patience) -> None:
    drive.files["/download"] = b"<html><title>Sign in</title>accounts.google.com</html>"
    with pytest.raises(WeightsError, match=r"answered with a login page \('Sign in'\)"):
        fetch(ENTRY, patience=hasty)
    assert not any(name.endswith(".pth") for name in names())


def test_what_was_cut_off_is_gone_on_with(drive, hasty: Patience) -> None:
    drive.script = ["good", "half", "404"]
    with pytest.raises(WeightsError):
        fetch(ENTRY, patience=hasty)
    assert any(name.endswith(".part") for name in names())
    drive.script, drive.requests = ["good"], []
    assert fetch(ENTRY, patience=hasty).read_bytes() == CONTENT
    asked = drive.requests[-1][1]
    assert asked is not None, "the part was not used"
    assert int(asked.removeprefix("bytes=").rstrip("-")) > 0


def test_without_a_hash_it_must_hold_weights(drive, hasty: Patience) -> None:
    drive.files["/download"] = b"some other file" * 1000
    with pytest.raises(WeightsError, match=r": it is not a \w+(-only)? checkpoint"):
        fetch(ENTRY, patience=hasty)
    assert names() == []


def test_a_small_file_has_no_page_before_it(drive) -> None:
    drive.files["/uc"] = CONTENT
    original = requests.adapters.HTTPAdapter.send

    def send(self, request: requests.PreparedRequest, **options):
        answer = original(self, request, **options)
        answer.headers["Content-Type"] = "application/octet-stream"
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.adapters.HTTPAdapter, "send", send)
        assert fetch(ENTRY).read_bytes() == CONTENT
    assert {where.split("?")[0] for where in drive.asked} == {"drive.google.com/uc"}


LINK = b'<form id="download-form" action="%s"></form>'


@pytest.mark.parametrize(
    "page",
    [
        b"<title>What</title>" + LINK % b"http://drive.usercontent.google.com/download",
        b"<title>What</title>" + LINK % b"file:///etc/passwd",
        b"<title>What</title>" + LINK % b"https://[::1",
        b'<title>What</title><form id="download-form"></form>',
        b'<title>What</title><form id="download-form" action="https://x"><input type="hidden">',
        b"<title>What</title>" + b"<div>" * 13_000,
        b"<title>What</title>" + b"\n" * 65_000,
        b"<title>What</title>" + b"x" * 20_000_000,
    ],
)
def test_a_page_without_a_link_that_is_followed(drive, hasty: Patience, page: bytes) -> None:
    drive.files["/uc"] = page
    with pytest.raises(WeightsError, match=r"answered with a web page \('What'\)"):
        fetch(ENTRY, patience=hasty)
    assert len(drive.asked) == 1
    assert names() == []


def test_no_more_bytes_come_than_the_index_states(drive, hasty: Patience) -> None:
    entry = WeightsEntry(ENTRY.name, ENTRY.sources, size=5000)
    with pytest.raises(WeightsError, match=rf"has {len(CONTENT):,} bytes, 5,000 expected"):
        fetch(entry, patience=hasty)
    assert names() == []
