"""Shared fixtures: small datasets in torchreid's layouts, drawn as plain coloured frames."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

import nr3d
from nr3d.config import KEYS, Command
from nr3d.host import torchreid
from tests.models.outside import registered

if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests run in parallel, and so do the processes that they start: one thread for each.
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
else:
    torch.set_num_threads(2)

# When started in the background of a shell, the tests and their processes would ignore these.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

FOOTAGE = Path(__file__).resolve().parents[2] / "shared" / "data" / "footage"


def draw_frame(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (32, 64)) -> None:
    """Write a frame of one colour with a bright corner that reveals flips."""
    image = Image.new("RGB", size, colour)
    image.paste((255, 255, 255), (0, 0, size[0] // 4, size[1] // 4))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def person_colour(pid: int) -> tuple[int, int, int]:
    rng = np.random.default_rng(pid)
    red, green, blue = (int(value) for value in rng.integers(30, 220, 3))
    return red, green, blue


def write_mars(
    root: Path, train_pids: tuple[int, ...], test_pids: tuple[int, ...], frames: int = 5
) -> Path:
    """Write a dataset in MARS's layout, with two tracklets of each person under two cameras."""
    info = root / "mars" / "info"
    info.mkdir(parents=True)
    queries: list[int] = []
    for part, pids in (("train", train_pids), ("test", test_pids)):
        names: list[str] = []
        table: list[list[int]] = []
        for pid in pids:
            for cam in (1, 2):
                for tracklet in (1, 2):
                    first = len(names) + 1
                    for frame in range(1, frames + 1):
                        name = f"{pid:04d}C{cam}T{tracklet:04d}F{frame:03d}.jpg"
                        names.append(name)
                        draw_frame(
                            root / "mars" / f"bbox_{part}" / f"{pid:04d}" / name,
                            person_colour(pid),
                        )
                    table.append([first, len(names), pid, cam])
                    if part == "test" and tracklet == 1:
                        queries.append(len(table))
        (info / f"{part}_name.txt").write_text("\n".join(names) + "\n")
        savemat(info / f"tracks_{part}_info.mat", {f"track_{part}_info": np.array(table)})
    savemat(info / "query_IDX.mat", {"query_IDX": np.array([queries])})
    return root


@pytest.fixture(scope="session")
def mars_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of eight people for training and four for testing, which no test may change."""
    return write_mars(
        tmp_path_factory.mktemp("mars"), (1, 3, 5, 9, 11, 20, 300, 1001), (2, 4, 6, 8)
    )


@pytest.fixture
def own_mars_root(tmp_path: Path) -> Path:
    """A smaller dataset in MARS's layout, which a test may damage."""
    return write_mars(tmp_path / "data", (1, 3, 5, 9), (2, 4))


@pytest.fixture
def prid_root(tmp_path: Path) -> Path:
    """PRID2011's layout: four people, ten frames each under two cameras, one split."""
    base = tmp_path / "prid2011"
    for camera in ("cam_a", "cam_b"):
        for person in range(1, 5):
            for frame in range(1, 11):
                draw_frame(
                    base
                    / "prid_2011"
                    / "multi_shot"
                    / camera
                    / f"person_{person:04d}"
                    # not padded, so that the frames are not in the order of the text
                    / f"{frame}.png",
                    (10 * frame, 0, 0),
                )
    split = {"train": ["person_0001", "person_0003"], "test": ["person_0002", "person_0004"]}
    (base / "splits_prid2011.json").write_text(json.dumps([split]))
    return tmp_path


@pytest.fixture
def ilids_root(tmp_path: Path) -> Path:
    """iLIDS-VID as it is unpacked: 300 people, two frames each under two cameras."""
    base = tmp_path / "ilids-vid"
    frame = tmp_path / "frame.png"
    Image.new("RGB", (4, 8), (10, 20, 30)).save(frame)
    for camera in ("cam1", "cam2"):
        for person in range(1, 301):
            # numbers with gaps, as in the original: only the order of the names matters
            name = f"person{person + person // 10:03d}"
            home = base / "i-LIDS-VID" / "sequences" / camera / name
            home.mkdir(parents=True)
            for number in (9, 10):
                (home / f"{camera}_{name}_{number:05d}.png").hardlink_to(frame)
    rng = np.random.default_rng(0)
    table = np.array([rng.permutation(300) + 1 for _ in range(10)], np.uint16)
    home = base / "train-test people splits"
    home.mkdir()
    savemat(home / "train_test_splits_ilidsvid.mat", {"ls_set": table})
    return tmp_path


def used(command: Command, words: list[str]) -> list[str]:
    """Return those KEY VALUE pairs whose key a command uses."""
    pairs = zip(words[::2], words[1::2], strict=True)
    return [word for pair in pairs if KEYS[pair[0]].commands & command for word in pair]


def finished(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of ``result.json`` after a run of a configuration."""
    figures = {f"rank-{rank}": 0.5 for rank in (1, 5, 10, 20)} | {"mAP": 0.5}
    return {
        "model": config["model"]["name"],
        "trained_on": ["mars"],
        "started_from": None,
        "results": {"mars": figures},
        "config": config,
    }


def write_tree(folder: Path, people: dict[str, dict[str, int]], frames: int = 3) -> Path:
    """Write a plain tree of people, given as identity → camera → number of tracklets."""
    for number, (person, cameras) in enumerate(people.items()):
        for camera, tracklets in cameras.items():
            for tracklet in range(1, tracklets + 1):
                for frame in range(9, 9 + frames):  # 9, 10: not the order of the text
                    draw_frame(
                        folder / person / camera / f"take{tracklet}" / f"{frame}.jpg",
                        person_colour(number),
                        (8, 16),
                    )
    return folder


def write_images(folder: Path, names: Iterable[str]) -> Path:
    """Write images of given paths under a folder, whose pixels do not matter."""
    for number, name in enumerate(names):
        draw_frame(folder / name, person_colour(number), (8, 16))
    return folder


def market_names(people: Iterable[int], cameras: int = 3, images: int = 3) -> list[str]:
    """Return Market-1501's names of images of people in the first two sequences of cameras."""
    return [
        f"{person:04d}_c{camera}s{1 + image // 2}_{100 * image + 51:06d}_01.jpg"
        for person in people
        for camera in range(1, cameras + 1)
        for image in range(images)
    ]


@pytest.fixture
def own_datasets() -> Iterator[dict[str, object]]:
    """torchreid's video datasets, which are restored after the test."""
    datasets: dict[str, object] = getattr(torchreid.data.datasets, "__video_datasets")
    before = dict(datasets)
    yield datasets
    datasets.clear()
    datasets.update(before)


@pytest.fixture
def plain_tree(own_datasets: dict[str, object]) -> Callable[..., Path]:
    """Write a plain tree ``identity/camera/tracklet/frame``; see :func:`write_tree`."""
    return write_tree


@pytest.fixture
def shop(tmp_path: Path, own_datasets: dict[str, object]) -> Path:
    """A plain tree: eight people under two cameras, twice each, and two under one camera."""
    people = {f"p{number}": {"door": 2, "till": 2} for number in range(1, 9)}
    return write_tree(tmp_path / "shop", people | {"once1": {"door": 1}, "once2": {"till": 1}})


@pytest.fixture
def market(tmp_path: Path, own_datasets: dict[str, object]) -> Path:
    """Nine images each of eight people under three cameras, named as Market-1501's."""
    return write_images(tmp_path / "market", market_names(range(2, 10)))


@pytest.fixture
def small_model() -> Callable[..., nr3d.models.VideoReID]:
    """Function that builds ``nr3d_resnet18_ibn`` from a seed."""

    def build(num_classes: int = 8, seed: int = 0, **options: object) -> nr3d.models.VideoReID:
        torch.manual_seed(seed)
        model: nr3d.models.VideoReID = torchreid.models.build_model(
            "nr3d_resnet18_ibn", num_classes, loss="not3d", pretrained=False, **options
        )
        return model

    return build


@pytest.fixture
def footage() -> Path:
    """Real surveillance tracklets in MARS's layout, if they lie beside the checkout."""
    if not (FOOTAGE / "mars").is_dir():
        pytest.skip(f"no footage at {FOOTAGE}")
    return FOOTAGE


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Move to a machine without weights or proxy; called with a name, to another such machine."""

    def move(name: str) -> None:
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.setenv("NR3D_HOME", str(folder / "home"))
        monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        monkeypatch.chdir(folder)

    for name in ("http", "https", "all", "no"):
        for variable in (f"{name}_proxy", f"{name.upper()}_PROXY"):
            monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("NR3D_OFFLINE", raising=False)
    monkeypatch.delenv("NR3D_WEIGHTS_INDEX", raising=False)
    move("here")
    return move


@pytest.fixture
def outside() -> Iterator[None]:
    """Everything of :mod:`tests.models.outside`, registered."""
    with registered():
        yield


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)
