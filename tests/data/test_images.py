"""torchreid's datasets of images train as pseudo-tracklets, and test as the single images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from nr3d.checking import check_dataset
from nr3d.config import load_config
from nr3d.data import ClipDataManager, convert, pack
from nr3d.data.datasets.parts import DISTRACTOR
from nr3d.data.loading import load_dataset
from nr3d.errors import ConfigError, DataError
from nr3d.host import torchreid
from nr3d.runs.building import build_datamanager
from tests.conftest import market_names, write_images


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Market-1501 in torchreid's layout: six people to train, two to test; nothing is fetched."""
    base = tmp_path / "market1501" / "Market-1501-v15.09.15"
    write_images(base / "bounding_box_train", market_names(range(2, 8)))
    write_images(base / "query", ["0008_c1s1_000001_00.jpg", "0009_c2s1_000001_00.jpg"])
    nobody = ["0000_c1s1_000151_01.jpg", "0000_c1s1_000151_02.jpg", "-1_c1s1_000401_03.jpg"]
    write_images(base / "bounding_box_test", [*market_names((8, 9)), *nobody])

    def fetch(*args: object) -> None:
        raise AssertionError(f"fetches {args}")

    module = torchreid.data.datasets.dataset
    monkeypatch.setattr(module, "download_url", fetch)
    return tmp_path


def manager(root: Path | str, **options: Any) -> ClipDataManager:
    return ClipDataManager(
        root=root, height=16, width=8, batch_size_train=4, num_instances=2, seq_len=2, workers=0,
        **options,
    )  # fmt: skip


def test_a_person_in_a_camera_is_a_tracklet_to_train_on(root: Path) -> None:
    data = manager(root, sources="market1501")
    assert (data.num_train_pids, data.num_train_cams) == (6, 3)
    assert len(data.train_tracklets) == 18
    names = sorted(market_names(range(2, 8)))
    for number, (paths, pid, camid, _) in enumerate(data.train_tracklets):
        assert [Path(path).name for path in paths] == names[3 * number : 3 * number + 3]
        assert (pid, camid) == (number // 3, number % 3)
    batch = next(iter(data.train_loader))
    assert batch["img"].shape == (4, 2, 3, 16, 8)


def test_a_test_keeps_torchreids_queries_and_images(root: Path) -> None:
    data = manager(root, sources="market1501")
    assert data.test_kinds == {"market1501": "single images"}
    query, gallery = data.fetch_test_loaders("market1501")
    theirs = torchreid.data.datasets.init_image_dataset("market1501", root=str(root), verbose=False)
    assert [(paths[0], pid, camid, 0) for paths, pid, camid, _ in query] == sorted(theirs.query)
    assert {len(paths) for paths, *_ in gallery} == {1}
    assert sorted(paths[0] for paths, *_ in gallery) == sorted(image[0] for image in theirs.gallery)
    pids = [pid for _, pid, _, _ in gallery]
    assert (pids.count(DISTRACTOR), pids.count(8), pids.count(9)) == (2, 9, 9)


def test_train_query_and_gallery_together_leave_distractors_out(root: Path) -> None:
    data = manager(root, sources="market1501", combineall=True)
    assert (data.num_train_pids, len(data.train_tracklets)) == (8, 24)
    assert not any("/0000_" in path for paths, *_ in data.train_tracklets for path in paths)


def test_images_and_video_are_trained_on_together(root: Path, own_mars_root: Path) -> None:
    (root / "mars").symlink_to(own_mars_root / "mars")
    data = manager(root, sources=["mars", "market1501"], targets="mars")
    assert data.num_train_pids == 4 + 6
    assert data.test_kinds == {}


def test_a_missing_dataset_is_refused_and_not_fetched(root: Path) -> None:
    for name, folder in (("dukemtmcreid", "dukemtmc-reid"), ("university1652", "university1652")):
        with pytest.raises(DataError) as caught:
            load_dataset(name, root, 0, combineall=False)
        assert str(caught.value).startswith(
            f"There is no folder {root / folder} of the dataset {name!r}: put the dataset there"
        )
        assert "nr3d fetches no dataset. torchreid downloads it from http" in str(caught.value)
        assert not (root / folder).exists()
    (root / "dukemtmc-reid").mkdir()
    with pytest.raises(DataError, match=r"'dukemtmcreid' cannot be loaded from .* is not found"):
        load_dataset("dukemtmcreid", root, 0, combineall=False)


def test_an_unknown_name_is_refused_with_the_names_of_both_kinds(root: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset("market", root, 0, combineall=False)
    for told in (
        f"no dataset 'market', and there is no folder {root / 'market'}",
        "mars",
        "msmt17",
    ):
        assert told in str(caught.value)


def test_torchreids_datasets_of_images_are_not_checked(root: Path) -> None:
    """They have neither the shape of a tree nor an index."""
    with pytest.raises(ConfigError, match="no check for 'market1501', a dataset of images that"):
        check_dataset("market1501", root)
    convert(write_images(root / "msmt17", market_names(range(2, 6))), pattern="market1501")
    assert check_dataset("msmt17", root).of("error") == []


def test_a_dataset_that_torchreid_only_trains_on_has_no_test(
    root: Path, own_datasets: dict[str, object]
) -> None:
    images = [f"p{person}_s{image}_1.jpg" for person in (1, 2) for image in (10, 9)]
    write_images(root / "cuhksysu" / "cropped_images", images)
    data = manager(root, sources="cuhksysu", targets="market1501")
    assert [len(paths) for paths, *_ in data.train_tracklets] == [2, 2]
    assert "s9_" in data.train_tracklets[0][0][0]
    assert load_dataset("cuhksysu", root, 0, combineall=False).gallery == []
    data = manager(root, sources=["cuhksysu", "market1501"], targets="market1501")
    assert data.num_train_pids == 2 + 6
    assert pack(root, "cuhksysu", root / "cuhksysu.h5").tracklets == 2


def test_a_converted_folder_keeps_a_name_that_torchreid_has_for_images(
    tmp_path: Path, own_datasets: dict[str, object]
) -> None:
    folder = write_images(tmp_path / "market1501", market_names(range(2, 6)))
    convert(folder, pattern="market1501")
    assert manager(tmp_path, sources="market1501").num_train_pids == 2


def test_a_pack_of_images_gives_the_same(root: Path) -> None:
    packed = pack(root, "market1501", root / "market.h5")
    plain = manager(root, sources="market1501")
    from_pack = manager("/nowhere", sources="market1501", pack=packed.file)
    assert from_pack.test_kinds == plain.test_kinds
    for one, other in zip(plain.train_loader, from_pack.train_loader, strict=True):
        assert torch.equal(one["img"], other["img"])


@pytest.fixture
def halves(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset of images with two splits, of which the second swaps training and test."""

    class Halves(torchreid.data.ImageDataset):  # type: ignore[misc]
        dataset_dir = "halves"

        def __init__(self, root: str = "", split_id: int = 0, **kwargs: Any) -> None:
            people = ([0, 1, 2], [3, 4])[:: -1 if split_id else 1]
            train, test = (
                [
                    (f"{root}/halves/{pid:04d}_c{camera}.png", label, camera)
                    for label, pid in enumerate(half)
                    for camera in (0, 1)
                ]
                for half in people
            )
            super().__init__(train, test[::2], test[1::2], **kwargs)

    write_images(root / "halves", [f"{pid:04d}_c{cam}.png" for pid in range(5) for cam in (0, 1)])
    known = getattr(torchreid.data.datasets, "__image_datasets")
    monkeypatch.setitem(known, "halves", Halves)


@pytest.mark.usefixtures("halves")
def test_the_split_is_that_of_the_configuration(root: Path) -> None:
    for split_id, people in ((0, 3), (1, 2)):
        assert manager(root, sources="halves", split_id=split_id).num_train_pids == people
    packed = pack(root, "halves", root / "halves.h5", split_id=1).file
    assert manager(root, sources="halves", split_id=1, pack=packed).num_train_pids == 2
    with pytest.raises(ConfigError, match=r"data.split_id is 0, and .*halves.h5 holds split 1"):
        manager(root, sources="halves", pack=packed)


def test_torchreids_own_engines_take_no_images(root: Path) -> None:
    changes = ["data.root", str(root), "engine", "torchreid", "loss.name", "softmax"]
    changes += ["data.sources", "[market1501]", "data.targets", "[market1501]"]
    cfg = load_config("synthetic", [*changes, "video.sample_method", "random"])
    with pytest.raises(ConfigError, match=r"takes no dataset of images \(market1501\)"):
        build_datamanager(cfg)
