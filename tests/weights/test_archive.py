"""One member out of a remote zip archive, and nothing more of it."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nr3d.errors import WeightsError
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


def test_all_requests_together_have_a_time(server, url: str, tmp_path: Path) -> None:
    """A second passes before the archive's start; the one that its directory needs is too much."""
    server.script, server.headers = ["503", "good", "503"], {"Retry-After": "1"}
    with pytest.raises(SourceError, match="HTTP 503"):
        download_member(url, MEMBER, tmp_path / "part", patience=Patience(total=1.6))
    assert len(server.requests) == 3


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
    names = sorted(p.name for p in path.parent.iterdir())
    assert names == [path.name, f"{path.name}.json"]


# Archives that exhaust


def stating(archive: bytes, **stated: int) -> bytes:
    """Change what an archive's directory states of its last member."""
    places = {"flags": (8, "H"), "method": (10, "H"), "crc": (16, "I"), "packed": (20, "I")}
    places |= {"size": (24, "I"), "offset": (42, "I")}
    changed = bytearray(archive)
    entry = archive.rindex(b"PK\x01\x02")
    for name, value in stated.items():
        place, kind = places[name]
        struct.pack_into(f"<{kind}", changed, entry + place, value)
    return bytes(changed)


def packed(content: bytes, method: int = zipfile.ZIP_DEFLATED, name: str = "m/w.pth") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        target.writestr(name, content)
    return buffer.getvalue()


BOMB = packed(bytes(200_000_000))
"""200 MB in 200 kB."""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (stating(BOMB, size=300_000), "is damaged (300,001 bytes or more"),
        (stating(BOMB, size=4_000_000_000), "cannot have 4,000,000,000 bytes"),
        (stating(BOMB, packed=4_000_000_000), "cannot have 200,000,000 bytes"),
        (stating(BOMB, size=10), "cannot have 10 bytes and"),
        (stating(packed(b"x" * 9, zipfile.ZIP_STORED), size=8), "cannot have 8 bytes and 9 of"),
        (stating(packed(b"x" * 900), offset=4_000_000_000), "does not fit its content"),
        (stating(packed(b"x" * 900), offset=50), "does not fit its content"),
        (stating(packed(b"x" * 900), flags=1), "is encrypted"),
        (stating(packed(b"x" * 900), method=14), "is packed by method 14"),
        (stating(packed(b"x" * 900), crc=1), "is damaged (its CRC-32 is"),
    ],
)
def test_a_member_that_is_not_what_the_directory_states(
    server, tmp_path: Path, hasty: Patience, content: bytes, reason: str
) -> None:
    server.files["/a.zip"] = content
    tracemalloc.start()
    with pytest.raises(SourceError) as caught:
        download_member(f"{server.url}/a.zip", "w.pth", tmp_path / "part", patience=hasty)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reason in str(caught.value)
    assert most < 12_000_000
    assert list(tmp_path.glob("part*")) == []


def test_little_of_a_member_that_unpacks_to_much_is_unpacked(
    server, tmp_path: Path, hasty: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 20_000_000
    monkeypatch.setattr("nr3d.weights.archive.MOST_BYTES", limit)
    server.files["/a.zip"] = BOMB
    for size, reason in ((None, "more than the 20,000,000"), (5, "200,000,000 bytes, 5 expected")):
        with pytest.raises(SourceError, match=reason):
            download_member(
                f"{server.url}/a.zip", "w.pth", tmp_path / "part", size=size, patience=hasty
            )
    assert list(tmp_path.glob("part*")) == []


def end_of_directory(entries: int, size: int, offset: int) -> bytes:
    """The end of a zip64 archive: its counts are of eight bytes."""
    end64 = struct.pack(
        "<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, *[entries] * 2, size, offset
    )
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, 2, 1)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", *[0, 0, 65535, 65535], *[0xFFFFFFFF] * 2, 0)
    return b"PK" + end64 + locator + end


@pytest.mark.parametrize(
    "content",
    [
        end_of_directory(2**64 - 1, 2**64 - 1, 2),
        end_of_directory(2**64 - 1, 2**40, 2),
        end_of_directory(2**64 - 1, 0, 2**63),
        b"PK" + bytes(200_000),
        b"PK" + b"PK\x05\x06" * 40_000,
    ],
)
def test_a_directory_that_is_none(server, tmp_path: Path, hasty: Patience, content: bytes) -> None:
    server.files["/a.zip"] = content
    with pytest.raises(SourceError, match=r"directory cannot be read|has no w.pth") as caught:
        download_member(f"{server.url}/a.zip", "w.pth", tmp_path / "part", patience=hasty)
    assert len(str(caught.value)) < 300
    assert server.sent < 600_000


def test_a_directory_of_gigabytes_is_not_read(raw_server, tmp_path: Path, hasty: Patience) -> None:
    """An archive of 10 GB, by what its server says; its directory would be all but some of it."""
    size = 10 << 30
    tail = (b"PK" + bytes(70_000) + end_of_directory(9, size - 98 - 9, 9)[2:])[-65_536:]

    def speak(send: Callable[[bytes], bool], request: str) -> None:
        first, last = ranges.pop(0)
        send(
            f"HTTP/1.1 206 Part\r\nContent-Range: bytes {first}-{last}/{size}\r\n"
            f"Content-Length: {last - first + 1}\r\n\r\n".encode()
        )
        if first == 0:
            send(b"PK")
        elif first == size - 65_536:
            send(tail)
        else:
            while send(bytes(65_536)):
                pass

    ranges = [(0, 1), (size - 65_536, size - 1), (9, size - 99)]
    server = raw_server(speak)
    with pytest.raises(SourceError, match=r"directory has 10,737,418,\d+ bytes, more than"):
        download_member(server.url, "w.pth", tmp_path / "part", patience=hasty)
    assert server.sent < 200_000


def test_names_in_an_archive_are_short_and_without_control_characters(
    server, tmp_path: Path, hasty: Patience
) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for number in range(50):
            target.writestr(f"{number}/\x1b[31m{'long ' * 50}/w.pth", b"x")
        target.writestr(f"\x1b[31m{'long ' * 5000}/v.pth", b"x" * 500)
    server.files["/a.zip"] = stating(buffer.getvalue(), crc=1)
    for member in ("w.pth", "v.pth", "1/31mlong/w.pth"):
        with pytest.raises(SourceError) as caught:
            download_member(f"{server.url}/a.zip", member, tmp_path / "part", patience=hasty)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 500


def test_an_empty_member_and_a_stored_one(server, tmp_path: Path, hasty: Patience) -> None:
    for content in (b"", os.urandom(3_000_000), bytes(3_000_000)):
        for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
            server.files["/a.zip"] = packed(content, method)
            path = download_member(
                f"{server.url}/a.zip", "w.pth", tmp_path / "part", size=len(content), patience=hasty
            )
            assert path.read_bytes() == content


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_one_line_with_the_file_and_what_to_do(
    server, url: str, tmp_path: Path, hasty: Patience
) -> None:
    (tmp_path / "part.unpacked").symlink_to("/dev/full")
    with pytest.raises(
        WeightsError,
        match=r"part.unpacked cannot be written \(No space left on device\): free some",
    ):
        download_member(url, MEMBER, tmp_path / "part", patience=hasty)
    assert [path.name for path in tmp_path.glob("part*")] == ["part"]
    assert download_member(url, MEMBER, tmp_path / "part", patience=hasty).read_bytes() == CONTENT
