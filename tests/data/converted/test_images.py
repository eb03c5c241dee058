"""Images whose names say whom they show become pseudo-tracklets, where they lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nr3d.checking import check_dataset
from nr3d.data import ClipDataManager, convert, pack
from nr3d.data.converted.index import INDEX, read_index
from nr3d.data.converted.patterns import PATTERNS, pattern_of
from nr3d.data.datasets.parts import DISTRACTOR
from nr3d.errors import ConfigError, DataError
from nr3d.host import torchreid
from tests.conftest import market_names, write_images

Entry = dict[str, Any]


def entries(folder: Path, *splits: str) -> list[Entry]:
    found: list[Entry] = json.loads((folder / INDEX).read_text())["tracklets"]
    return [entry for entry in found if not splits or entry["split"] in splits]


def manager(root: Path, sources: str | list[str], **options: Any) -> ClipDataManager:
    return ClipDataManager(
        root=root, sources=sources, height=16, width=8, batch_size_train=4, num_instances=2,
        seq_len=2, workers=0, **options,
    )  # fmt: skip


def test_one_person_in_one_camera_is_a_tracklet_and_nothing_moves(market: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in market.iterdir()}
    made = convert(market, pattern="market1501")
    after = {path: path.stat().st_mtime_ns for path in market.iterdir()}
    assert after.keys() - before.keys() == {market / INDEX}
    assert {path: after[path] for path in before} == before
    assert made.pseudo
    assert (made.train_identities, made.test_identities, made.cameras) == (4, 4, 3)
    assert (made.train_tracklets, made.query, made.gallery, made.frames) == (12, 4, 8, 72)
    for entry in entries(market):
        person, camera = entry["identity"], entry["camera"]
        start = f"{person}_c{camera}"
        assert entry["frames"] == [f"{start}s1_000051_01.jpg", f"{start}s1_000151_01.jpg",
                                   f"{start}s2_000251_01.jpg"]  # fmt: skip
    head = json.loads((market / INDEX).read_text())
    assert head["pseudo_tracklets"] is True
    assert (head["pattern"], head["by"]) == ("market1501", "camera")
    assert (head["min_frames"], head["seed"], head["train_share"]) == (1, 0, 0.5)


def test_a_person_has_one_query_where_every_camera_has_one_tracklet(market: Path) -> None:
    convert(market, pattern="market1501")
    asked = [entry["identity"] for entry in entries(market, "query")]
    assert len(asked) == len(set(asked)) == 4
    for person in asked:
        cameras = [e["camera"] for e in entries(market, "gallery") if e["identity"] == person]
        assert len(set(cameras)) == 2


def test_by_sequence_every_camera_keeps_a_tracklet_in_the_gallery(market: Path) -> None:
    made = convert(market, pattern="market1501", by="sequence")
    assert (made.train_tracklets, made.query, made.gallery) == (24, 12, 12)
    left = {(e["identity"], e["camera"]) for e in entries(market, "gallery")}
    assert left == {(e["identity"], e["camera"]) for e in entries(market, "query")}
    assert {entry["tracklet"] for entry in entries(market)} == {"1", "2"}
    assert {len(entry["frames"]) for entry in entries(market)} == {1, 2}


def test_order_is_that_of_sequence_and_frame_by_value(tmp_path: Path) -> None:
    shot = ("s2_000009_01", "s1_1000000_02", "s1_999999_01", "s1_999999_10", "s10_000001_00")
    names = [f"000{person}_c{camera}{one}.jpg"
             for person in (1, 2, 3) for camera in (1, 2) for one in shot]  # fmt: skip
    convert(write_images(tmp_path / "shots", names), pattern="market1501")
    order = [shot[2], shot[3], shot[1], shot[0], shot[4]]
    for entry in entries(tmp_path / "shots"):
        assert [frame[7:-4] for frame in entry["frames"]] == order


def test_junk_is_left_out_and_distractors_are_in_the_gallery_alone(market: Path) -> None:
    junk = ["-1_c1s1_000401_03.jpg", "-1_c2s1_000401_03.jpg"]
    nobody = ["0000_c1s1_000151_01.jpg", "0000_c1s1_000151_02.jpg", "0000_c2s3_000001_01.jpg"]
    write_images(market, [*junk, *nobody])
    made = convert(market, pattern="market1501")
    assert (made.junk, made.lone_images, made.test_identities) == (2, 3, 4)
    lone = [entry for entry in entries(market) if entry["identity"] == ""]
    assert [entry["split"] for entry in lone] == ["gallery"] * 3
    assert [entry["frames"] for entry in lone] == [[name] for name in nobody]
    assert not set(junk) & {name for entry in entries(market) for name in entry["frames"]}
    parts = read_index(market).parts(market)
    assert [pid for _, pid, _ in parts.gallery].count(DISTRACTOR) == 3
    assert {pid for _, pid, _ in parts.query} == {0, 1, 2, 3}
    everybody = manager(market.parent, "market", combineall=True)
    assert everybody.num_train_pids == 8
    assert not any("/0000_" in paths[0] for paths, *_ in everybody.train_tracklets)
    stock = torchreid.data.VideoDataManager(
        root=str(market.parent), sources="market", height=16, width=8, workers=0, combineall=True
    )
    assert stock.num_train_pids == 8
    made = convert(market, pattern="market1501", min_frames=2, replace=True)
    assert (made.lone_images, made.short, made.lost) == (0, 3, 0)


def test_short_tracklets_and_people_left_under_one_camera_are_left_out(market: Path) -> None:
    (market / "0002_c1s1_000051_01.jpg").unlink()
    for name in market_names([3])[3:8]:
        (market / name).unlink()
    for name in market_names([4]):
        (market / name).unlink()
    write_images(market, ["0004_c1s1_000001_01.jpg", "0004_c2s1_000001_01.jpg"])
    made = convert(market, pattern="market1501", min_frames=3)
    assert (made.short, made.lost, made.alone) == (1 + 1 + 2, 1, 1)
    assert made.train_identities + made.test_identities == 6
    assert {e["identity"] for e in entries(market)} == {f"000{p}" for p in (2, 5, 6, 7, 8, 9)}
    assert min(len(entry["frames"]) for entry in entries(market)) == 3


def test_short_tracklets_of_a_tree_are_left_out_too(shop: Path) -> None:
    for frame in ("9.jpg", "10.jpg"):
        (shop / "p1/door/take1" / frame).unlink()
    made = convert(shop, min_frames=2)
    assert (made.short, made.lost, made.alone, made.pseudo) == (1, 0, 0, False)
    assert ("p1", "door", "take1") not in {
        (e["identity"], e["camera"], e["tracklet"]) for e in entries(shop)
    }
    assert check_dataset("shop", shop.parent).findings == []


@pytest.mark.parametrize("name", PATTERNS)
def test_a_known_pattern_reads_its_example(name: str) -> None:
    pattern = pattern_of(name)
    assert pattern.read(pattern.example) is not None
    assert pattern.read(f"elsewhere/{pattern.example}") is None


def test_images_named_as_msmt17s(tmp_path: Path, own_datasets: dict[str, object]) -> None:
    parts = ("morning_0008_0.jpg", "noon_0012_1_ex.jpg", "afternoon_0003_0.jpg")
    names = [
        f"{person}/{person}_{10 * camera + image:03d}_{camera:02d}_0303{part}"
        for person in ("0000", "0001", "0002", "0003")
        for camera in (1, 15)
        for image, part in enumerate(parts)
    ]
    made = convert(write_images(tmp_path / "msmt", names), pattern="msmt17")
    assert (made.train_identities, made.train_tracklets, made.query, made.gallery) == (2, 4, 2, 2)
    assert made.lone_images == 0, "0000 is a person here"
    found = {(entry["identity"], entry["camera"]): entry for entry in entries(tmp_path / "msmt")}
    assert found["0000", "15"]["frames"] == names[3:6]


def test_images_named_as_dukemtmcreids(tmp_path: Path, own_datasets: dict[str, object]) -> None:
    names = [f"000{p}_c{c}_f00{f}.jpg" for p in (1, 2, 3) for c in (1, 2) for f in (46182, 5200)]
    made = convert(write_images(tmp_path / "duke", names), pattern="dukemtmcreid")
    assert (made.train_identities, made.frames) == (2, 12)
    assert all(entry["frames"][0].endswith("5200.jpg") for entry in entries(tmp_path / "duke"))


OWN = r"day(?P<sequence>\d)/(?P<frame>\d+)-(?P<person>[a-z]+)@(?P<camera>\w+)\.png"


@pytest.fixture
def own(tmp_path: Path, own_datasets: dict[str, object]) -> Path:
    """Images of an own pattern, of which the order by name is not that of time."""
    names = [
        f"day{day}/{9 * frame}-{person}@{camera}.png"
        for person in ("anna", "ben", "cleo")
        for camera in ("door", "till")
        for day in (1, 2)
        for frame in (2 - day, 4 - day)
    ]
    return write_images(tmp_path / "own", names)


@pytest.mark.parametrize("packed", [False, True])
def test_an_own_pattern_gives_the_order_of_time(packed: bool, own: Path) -> None:
    convert(own, pattern=OWN)
    file = pack(own.parent, "own", own.parent / "own.h5").file if packed else ""
    data = manager(own.parent, "own", pack=file)
    assert data.test_kinds == {"own": "pseudo-tracklets"}
    tracklets = [
        *data.train_tracklets,
        *data.test_dataset["own"]["query"],
        *data.train_loader.dataset.dataset.tracklets,
    ]
    assert len(tracklets) == 4 + 1 + 4
    for paths, *_ in tracklets:
        names = ["/".join(path.split("/")[-2:]).partition("-")[0] for path in paths]
        assert names == ["day1/9", "day1/27", "day2/0", "day2/18"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(?P<person>", r"pattern '\(\?P<person>' is no regular expression \(missing \)"),
        (r"(?P<person>\d+)_c\d", "has no group camera, expected one of market1501 .0002_c1s1_"),
        ("market1051", "'market1051' has no group person and camera, expected one of market1501"),
        (r"(?P<person>\d)(?P<camera>\d)(?P<time>\d)", "has a group time, expected"),
    ],
)
def test_a_bad_pattern_says_what_was_expected(text: str, message: str, market: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        convert(market, pattern=text)
    assert not (market / INDEX).exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "sequence"}, "by is 'sequence', and there is no pattern"),
        ({"by": "week", "pattern": "market1501"}, "by is 'week', expected one of camera, sequence"),
        ({"by": "sequence", "pattern": "dukemtmcreid"}, "'dukemtmcreid' has no group sequence"),
        ({"min_frames": 0}, "min_frames is 0, expected at least 1"),
        ({"min_frames": 1.5}, "min_frames is 1.5, expected a whole number"),
        ({"seed": True}, "seed is True, expected a whole number"),
        ({"purpose": "play"}, "purpose is 'play', expected one of both, train, test"),
        ({"train_share": 1.0, "pattern": "market1501"}, "between 0 and 1; .* by --train-only"),
    ],
)
def test_a_bad_option_says_what_was_expected(
    options: dict[str, Any], message: str, market: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        convert(market, **options)


def test_a_folder_without_a_match_is_refused_with_an_example(market: Path) -> None:
    with pytest.raises(DataError) as caught:
        convert(market, pattern="dukemtmcreid")
    assert str(caught.value).startswith(
        f"None of the 72 images in {market} matches the pattern dukemtmcreid, such as "
    )
    assert "one of market1501 (0002_c1s1_000451_03.jpg), dukemtmcreid (0001" in str(caught.value)
    with pytest.raises(DataError, match=rf"such as market/.*Give the folder {market}, or a patt"):
        convert(market.parent, pattern="market1501")


def test_folders_without_people_are_refused(tmp_path: Path, market: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no image: give the folder that holds the"):
        convert(tmp_path / "empty", pattern="market1501")
    write_images(tmp_path / "nobody", ["0000_c1s1_000151_01.jpg", "-1_c1s1_000151_01.jpg"])
    with pytest.raises(DataError, match="nobody holds no person: all its images are marked as"):
        convert(tmp_path / "nobody", pattern="market1501")
    write_images(tmp_path / "two", market_names([1, 2]))
    with pytest.raises(DataError, match="two holds images of 2 people, expected at least 3"):
        convert(tmp_path / "two", pattern="market1501")
    with pytest.raises(DataError, match="8 have no tracklet of at least 4 frames, which leaves 0"):
        convert(market, pattern="market1501", min_frames=4)
    write_images(tmp_path / "alone", market_names(range(1, 5), cameras=1))
    with pytest.raises(DataError, match=r"alone, 4 are under one camera only, .*: give images of"):
        convert(tmp_path / "alone", pattern="market1501")
    with pytest.raises(DataError, match=r"and a camera that are not empty, such as 0001_c1s1"):
        convert(tmp_path / "alone", pattern="(?P<person>.*)(?P<camera>.*)")


@pytest.mark.parametrize(
    ("kind", "image"), [("person", "2_c1s1_000001_01.jpg"), ("camera", "0002_c01s1_000001_01.jpg")]
)
def test_a_person_or_camera_of_two_names_is_refused(kind: str, image: str, market: Path) -> None:
    write_images(market, [image])
    pattern = r"(?P<person>\d+)_c(?P<camera>\d+)s(?P<frame>\d+_\d+)_\d+\.jpg"
    with pytest.raises(DataError) as caught:
        convert(market, pattern=pattern)
    for told in (f"{market} has images of {kind} '", image, "which are the same number: rename"):
        assert told in str(caught.value)
    (market / image).unlink()
    convert(market, pattern=pattern)
    write_images(market, [image])
    (error,) = check_dataset("market", market.parent).findings
    assert "which are the same number" in error.what
    assert error.remedy == "Restore the images, with the names that they had."


def test_a_set_for_training_counts_what_it_holds(market: Path) -> None:
    write_images(market, ["0000_c9s1_000001_01.jpg"])
    made = convert(market, pattern="market1501", purpose="train")
    assert (made.cameras, made.frames, made.lone_images) == (3, 72, 0)


def test_what_does_not_match_is_counted_and_left_out(market: Path) -> None:
    write_images(market, ["portrait.jpg", "more/0002_c1s1_000001_01.jpg"])
    (market / "Thumbs.db").touch()
    made = convert(market, pattern="market1501")
    assert sorted(made.unmatched) == ["more/0002_c1s1_000001_01.jpg", "portrait.jpg"]
    assert (made.skipped, made.frames) == (("Thumbs.db",), 72)


def test_a_folder_that_holds_itself_ends(market: Path) -> None:
    (market / "again").symlink_to(market)
    assert convert(market, pattern="market1501").skipped == ("again",)


def test_a_set_for_testing_only_tests_and_does_not_train(market: Path) -> None:
    others = write_images(market.parent / "others", market_names([11, 12, 13], images=2))
    made = convert(others, pattern="market1501", purpose="test")
    assert (made.train_identities, made.test_identities, made.query, made.gallery) == (0, 3, 3, 6)
    convert(market, pattern="market1501", purpose="train")
    assert not entries(market, "query", "gallery")
    both = manager(market.parent, "market", targets="others")
    assert both.num_train_pids == 8
    assert both.test_kinds == {"others": "pseudo-tracklets"}
    assert {part: len(found) for part, found in both.test_dataset["others"].items()} == {
        "query": 3, "gallery": 6,
    }  # fmt: skip
    with pytest.raises(DataError, match="others has no training tracklet, since it was made for"):
        manager(market.parent, "others", targets="market")
    alone = manager(market.parent, "others", training=False, train_sampler="SequentialSampler")
    assert (alone.num_train_pids, len(alone.train_loader)) == (0, 0)
    everybody = manager(market.parent, "others", combineall=True)
    assert everybody.num_train_pids == 3
    for name in ("market", "others"):
        assert {f.level for f in check_dataset(name, market.parent).findings} == {"note"}


@pytest.mark.parametrize("packed", [False, True])
def test_a_set_for_training_only_may_be_the_first_of_several(packed: bool, market: Path) -> None:
    root = market.parent
    convert(market, pattern="market1501", purpose="train")
    convert(write_images(root / "more", market_names(range(11, 15))), pattern="market1501")
    file = pack(root, "more", root / "more.h5").file if packed else ""
    data = manager(root, "more", pack=file)
    alone = len(data.train_tracklets)
    for sources in (["market", "more"], ["more", "market"]):
        data = manager(root, sources, targets="more", pack=file)
        assert (data.num_train_pids, data.num_train_cams) == (8 + 2, 3 + 3)
        assert len(data.train_tracklets) == 24 + alone
        assert {dsetid for *_, dsetid in data.train_tracklets} == {0, 1}
    stock = torchreid.data.VideoDataManager(
        root=str(root), sources=["market", "more"], targets="more", height=16, width=8, workers=0
    )
    assert (stock.num_train_pids, stock.num_train_cams) == (10, 6)


def test_a_set_for_one_purpose_is_packed(market: Path) -> None:
    root = market.parent
    convert(write_images(root / "others", market_names([11, 12, 13])), pattern="market1501",
            purpose="test")  # fmt: skip
    convert(market, pattern="market1501", purpose="train")
    files = {name: pack(root, name, root / f"{name}.h5") for name in ("market", "others")}
    assert [made.tracklets for made in files.values()] == [24, 9]
    for name in files:
        plain = manager(root, "market", targets="others")
        packed = manager(root, "market", targets="others", pack=files[name].file)
        assert packed.test_kinds == plain.test_kinds
        for part, tracklets in plain.test_dataset["others"].items():
            theirs = packed.test_dataset["others"][part]
            assert [t[1:] for t in theirs] == [t[1:] for t in tracklets]
        for one, other in zip(plain.train_loader, packed.train_loader, strict=True):
            assert one["img"].equal(other["img"])
    with pytest.raises(DataError, match="others has no training tracklet, since it was made for"):
        manager(root, "others", pack=files["others"].file)


def test_one_purpose_needs_less(tmp_path: Path, own_datasets: dict[str, object]) -> None:
    folder = write_images(tmp_path / "pair", market_names([1, 2], cameras=2))
    assert convert(folder, pattern="market1501", purpose="train").train_tracklets == 4
    made = convert(folder, pattern="market1501", purpose="test", replace=True)
    assert (made.query, made.gallery) == (2, 2)


def test_a_tree_may_be_for_one_purpose_too(shop: Path) -> None:
    made = convert(shop, purpose="test")
    assert (made.train_identities, made.test_identities, made.query) == (0, 10, 16)
    assert manager(shop.parent, "shop", training=False, train_sampler="SequentialSampler")


CHANGES = {
    "a path that leaves the folder": ('"0002_c1s1_000051_01.jpg"', '"../0002_c1s1_000051_01.jpg"'),
    "a distractor that asks": ('"query", "identity": "00', '"query", "identity": "", "x": "'),
    "a pattern without groups": ('"pattern": "market1501"', '"pattern": "x"'),
    "no number of frames": ('"min_frames": 1', '"min_frames": "x"'),
    "an unknown purpose": ('"min_frames": 1', '"min_frames": 1, "purpose": "x"'),
    "tracklets of another purpose": ('"min_frames": 1', '"min_frames": 1, "purpose": "train"'),
    "an unknown format": ('"nr3d-images"', '"nr3d-pictures"'),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_index_is_refused(change: str, market: Path) -> None:
    convert(market, pattern="market1501")
    text = (market / INDEX).read_text()
    old, new = CHANGES[change]
    assert old in text
    (market / INDEX).write_text(text.replace(old, new, 1))
    with pytest.raises(
        DataError, match=rf"{INDEX} (cannot be used|is |has ).*Make it: nr3d data conv"
    ):
        read_index(market)
