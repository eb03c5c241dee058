"""One member out of a remote zip archive, and nothing more of it."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
import torch

from nr3d.weights import Source, WeightsEntry, fetch
from nr3d.weights.archive import download_member
from nr3d.weights.http import Patience, SourceError

FOLDER = "distilled_public/mars/selfdistill"
MEMBER = "mars/selfdistill/distill_mars_resnet50/chk/chk_di_1"


def checkpoint() -> bytes:
    buffer = io.BytesIO()
    state = {"backbone.features_layers.0.0.weight": torch.rand(60_000)}
    torch.save(state, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


CONTENT = checkpoint()


def archive(method: int = zipfile.ZIP_DEFLATED, *, zip64: bool = False) -> bytes:
    """An archive of the published one's inner layout, with large files before and behind."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        target.mkdir(f"{FOLDER}/distill_mars_resnet50/chk")
        target.writestr(f"{FOLDER}/distill_mars_resnet34/chk/chk_di_1", os.urandom(600_000))
        target.writestr(f"{FOLDER}/distill_mars_resnet50/params/params.json", "{}")
        name = f"{FOLDER}/distill_mars_resnet50/chk/chk_di_1"
        with target.open(name, "w", force_zip64=zip64) as member:
            member.write(CONTENT)
        target.writestr(f"{FOLDER}/distill_mars_resnet50/chk/chk_di_0", os.urandom(300_000))
        target.writestr(f"{FOLDER}/distill_mars_resnet101/chk/chk_di_1", os.urandom(600_000))
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def _fresh(no_weights: object) -> None:
    """Without a proxy."""


@pytest.fixture
def url(server) -> str:
    server.files["/distilled.zip"] = archive()
    return f"{server.url}/distilled.zip"


@pytest.mark.parametrize("member", [MEMBER, f"distilled_public/{MEMBER}"])
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
@pytest.mark.parametrize("zip64", [False, True])
def test_the_members_bytes_and_little_else(
    server, url: str, tmp_path: Path, hasty: Patience, member: str, method: int, zip64: bool
) -> None:
    whole = server.files["/distilled.zip"] = archive(method, zip64=zip64)
    path = download_member(url, member, tmp_path / "part", patience=hasty)
    assert path.read_bytes() == CONTENT
    # the member, and the directory's end with up to 64 kB before it
    assert server.sent < len(CONTENT) + 140_000 < len(whole) / 3
    assert [p for p in tmp_path.iterdir() if p.is_file()] == [path]


def test_a_member_that_was_cut_off_is_gone_on_with(
    server, url: str, tmp_path: Path, hasty: Patience
) -> None:
    # the start, the directory, the member's header, then its bytes
    server.script = ["good", "good", "good", "half", "404"]
    with pytest.raises(SourceError, match="HTTP 404"):
        download_member(url, MEMBER, tmp_path / "part", patience=hasty)
    have = (tmp_path / "part").stat().st_size
    assert have > 50_000
    server.script, server.sent = ["good"], 0
    assert download_member(url, MEMBER, tmp_path / "part", patience=hasty).read_bytes() == CONTENT
    assert server.sent < len(CONTENT) - have + 140_000


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_damaged_member_is_found_out(
    server, url: str, tmp_path: Path, hasty: Patience, method: int
) -> None:
    whole = bytearray(archive(method))
    start = whole.index(f"{FOLDER}/distill_mars_resnet50/chk/chk_di_1".encode()) + 90_000
    whole[start : start + 8] = bytes(255 - byte for byte in whole[start : start + 8])
    server.files["/distilled.zip"] = bytes(whole)
    with pytest.raises(SourceError, match="chk_di_1 is damaged"):
        download_member(url, MEMBER, tmp_path / "part", patience=hasty)
    assert list(tmp_path.glob("part*")) == []


@pytest.mark.parametrize(
    ("member", "script", "reason"),
    [
        (
            "mars/nothing/chk_di_1",
            ["good"],
            "no mars/nothing/chk_di_1 among its 5 members; the clo",
        ),
        ("chk/chk_di_1", ["good"], "has 3 members chk/chk_di_1: "),
        (MEMBER, ["noranges"], "the server does not serve byte ranges"),
        (MEMBER, ["404"], "HTTP 404"),
        (MEMBER, ["html"], "answered with a web page"),
        (MEMBER, ["good", "404"], "directory cannot be read"),
        (MEMBER, ["other"], "the file there is no zip archive"),
    ],
)
def test_what_does_not_work_has_a_reason(
    server, url: str, tmp_path: Path, hasty: Patience, member: str, script: list[str], reason: str
) -> None:
    server.script = script
    with pytest.raises(SourceError) as caught:
        download_member(url, member, tmp_path / "part", patience=hasty)
    assert reason in str(caught.value)
    if script != ["noranges"]:  # which sends it whole, read or not
        assert server.sent < len(server.files["/distilled.zip"]) / 3


def test_an_entry_in_an_archive_is_fetched_and_kept(server, url: str) -> None:
    entry = WeightsEntry("vkd_resnet50.test", (Source(zip=url, member=MEMBER),))
    path = fetch(entry)
    assert path.name == "vkd_resnet50.test.pth"
    assert path.read_bytes() == CONTENT
    asked = len(server.requests)
    assert fetch(entry) == path
    assert len(server.requests) == asked
    names = sorted(p.name for p in path.parent.iterdir() if p.suffix != ".lock")
    assert names == [path.name, f"{path.name}.json"]
