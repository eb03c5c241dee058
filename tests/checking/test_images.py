"""The check of images that were converted finds what is damaged, and says the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nr3d.checking import Finding, check_dataset
from nr3d.data import convert
from nr3d.data.converted.index import INDEX
from tests.conftest import write_images


def test_the_check_knows_images(market: Path) -> None:
    convert(market, pattern="market1501", min_frames=2)
    report = check_dataset("market", market.parent)
    (note,) = report.findings
    assert (note.level, note.what[:35]) == ("note", "Its tracklets are pseudo-tracklets:")
    assert "do not compare with those on MARS" in note.remedy
    assert report.counts == {
        "train identities": 4,
        "test identities": 4,
        "cameras": 3,
        "train pseudo-tracklets": 12,
        "query pseudo-tracklets": 4,
        "gallery pseudo-tracklets": 8,
        "frames": 72,
    }
    assert report.decoded == 72


AGAIN = (
    "nr3d data convert {folder} --pattern market1501 --by camera --min-frames 2 --train-share 0.25 "
    "--replace"
)
FIRST = "0002_c1s1_000051_01.jpg"

DAMAGES: dict[str, tuple[Callable[[Path], object], str, str, str, str]] = {
    "an image gone": (
        lambda folder: (folder / FIRST).unlink(),
        *("error", f"Frames of {INDEX} that are not on disk", FIRST, AGAIN),
    ),
    "an image too many": (
        lambda folder: write_images(folder, ["0002_c1s1_000052_01.jpg"]),
        *(
            "warning",
            f"Frames on disk that {INDEX} does not name",
            "0002_c1s1_000052_01.jpg",
            AGAIN,
        ),
    ),
    "an image of another name": (
        lambda folder: write_images(folder, ["portrait.jpg"]),
        *("note", "Images that do not match the pattern market1501", "portrait.jpg", "Nothing"),
    ),
    "junk": (
        lambda folder: write_images(folder, ["-1_c1s1_000052_01.jpg"]),
        *("note", "Images that the pattern market1501 marks as junk", "-1_c1s1", "Nothing."),
    ),
    "another order": (
        lambda folder: (folder / INDEX).write_text(
            (folder / INDEX)
            .read_text()
            .replace(
                f'"{FIRST}", "0002_c1s1_000151_01.jpg"', f'"0002_c1s1_000151_01.jpg", "{FIRST}"'
            )
        ),
        *("warning", f"Tracklets whose frames are not in time order in {INDEX}", "0002/1", AGAIN),
    ),
    "an image under another person": (
        lambda folder: (folder / INDEX).write_text(
            (folder / INDEX).read_text().replace(f'"{FIRST}"', '"0003_c1s1_000051_01.jpg"')
        ),
        *("error", f"Images that {INDEX} has under another person or camera than their names say"),
        *("0003_c1s1_000051_01.jpg", AGAIN),
    ),
    "an image twice": (
        lambda folder: (folder / INDEX).write_text(
            (folder / INDEX).read_text().replace(f'"{FIRST}"', f'"{FIRST}", "{FIRST}"')
        ),
        *("error", f"Frames that {INDEX} names more than once", FIRST, AGAIN),
    ),
    "unreadable": (
        lambda folder: (folder / FIRST).write_bytes(b"\xff\xd8\xff"),
        *("error", "Frames that cannot be read", FIRST, "data.bad_frames skip"),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damage_is_found_and_named_with_its_mend(
    damage: str, market: Path, only: Callable[..., Finding]
) -> None:
    convert(market, pattern="market1501", min_frames=2, train_share=0.25)
    do, level, what, place, remedy = DAMAGES[damage]
    do(market)
    finding = only(check_dataset("market", market.parent), level, what)
    assert remedy.format(folder=market) in finding.remedy
    assert any(found.startswith(place) for found in finding.places), finding.places


def test_a_damaged_index_of_images_is_to_be_made_with_the_options_in_it(market: Path) -> None:
    """A folder of images is not measured by the shape of a tree."""
    convert(market, pattern=r"(?P<person>[0-9]+)_c(?P<camera>.).*", seed=3, purpose="test")
    text = (market / INDEX).read_text()
    (market / INDEX).write_text(text.replace('"split": "gallery"', '"split": "galery"'))
    (finding,) = check_dataset("market", market.parent).findings
    assert (finding.level, "galery" in finding.what) == ("error", True)
    assert finding.remedy == (
        f"Make it: nr3d data convert {market} --pattern '(?P<person>[0-9]+)_c(?P<camera>.).*' "
        "--by camera --seed 3 --test-only --replace"
    )
    (market / INDEX).write_text(text.replace('"pattern": "(?P', '"pattern": "(?'))
    (finding,) = check_dataset("market", market.parent).findings
    told = f"nr3d data convert {market} --pattern PATTERN --seed 3 --test-only --replace"
    assert finding.remedy == f"Make it: {told}"
    (market / INDEX).write_text(text.replace('"by": "camera"', '"by": ""'))
    (finding,) = check_dataset("market", market.parent).findings
    assert (finding.level, "by ''" in finding.what) == ("error", True)


def test_the_options_of_a_tree_are_given_again_too(
    shop: Path, only: Callable[..., Finding]
) -> None:
    convert(shop, seed=2, train_share=0.25, min_frames=2)
    (shop / "p1" / "door" / "take1" / "9.jpg").unlink()
    finding = only(check_dataset("shop", shop.parent), "error", "Frames of")
    assert finding.remedy.endswith(
        f"nr3d data convert {shop} --min-frames 2 --seed 2 --train-share 0.25 --replace"
    )
