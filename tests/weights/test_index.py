"""The index: what is shipped, what users add, and what is wrong with an entry."""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import nr3d
from nr3d.cli import main
from nr3d.errors import OutputError, WeightsError
from nr3d.models import ARCHITECTURES
from nr3d.weights import (
    LAYOUTS,
    Metric,
    Source,
    WeightsEntry,
    add,
    available,
    entry_of,
    find,
    user_index,
)

ENTRY = WeightsEntry(
    "nr3d_resnet18_ibn.mine",
    (
        Source(url="https://example.org/w.pth", sha256="0123456789abcdef"),
        Source(drive="1aB"),
        Source(zip="https://example.org/a.zip", member="b/c"),
        Source(path="/somewhere/w.pth"),
    ),
    sha256="f" * 64,
    size=12,
    layout="nr3d",
    trained_on=("mars", "ilidsvid"),
    identities=625,
    input_size=(224, 112),
    frames=4,
    mean=(0.5, 0.5, 0.5),
    std=(0.2, 0.2, 0.2),
    aggregation="mean",
    feature="before",
    dist_metric="cosine",
    metrics=(Metric("mars", "torchreid", "measured", {"rank-1": 0.5, "mAP": 0.25}),),
    licence="MIT",
    origin="a paper",
    config={"train": {"lr": 1e-4}},
    versions={"nr3d": "0.1.0"},
    file="w.pth",
)


@pytest.fixture(autouse=True)
def own_index(no_weights: object) -> Path:
    return user_index()


def test_the_shipped_entries_are_the_published_ones() -> None:
    entries = available()
    urls = {
        name.split(".")[0]: (source.url.rsplit("/", 1)[1], entry.hash_of(source))
        for name, entry in entries.items()
        for source in entry.sources[:1]
        if entry.tag == "imagenet"
    }
    assert urls == {
        "nr3d_resnet18_ibn": ("resnet18_ibn_a-2f571257.pth", "2f571257"),
        "nr3d_resnet34_ibn": ("resnet34_ibn_a-94bc1577.pth", "94bc1577"),
        "nr3d_resnet50_ibn": ("resnet50_ibn_a-d9d0bb7b.pth", "d9d0bb7b"),
        "nr3d_resnet101_ibn": ("resnet101_ibn_a-59ea0ac6.pth", "59ea0ac6"),
        "vkd_resnet101": ("resnet101-63fe2227.pth", "63fe2227"),
        **{
            f"{family}_resnet{depth}": (f"resnet{depth}-{digest}.pth", digest)
            for family in (
                *("nr3d", "vprt", "gltr", "m3d", "cosam"),
                *("scan_self", "vrstc_reid", "group_confidence", "vkd"),
            )
            for depth, digest in ((50, "0676ba61"), (18, "f37072fd"))
            if (family, depth) != ("vkd", 18)
        },
    }
    assert set(urls) == set(ARCHITECTURES), "every model has a start"
    second = entries["nr3d_resnet50_ibn.imagenet"].sources[1]
    assert second.drive == "13lprTFafpXORqs7XXMLYaelbtw6NxQM1"
    assert entries["nr3d_resnet50_ibn.imagenet"].hash_of(second) is None, "other bytes"
    figures = {
        name: (entry.metrics[0].values, entry.sources[0].zip.rsplit("/", 1)[1])
        for name, entry in entries.items()
        if "mars" in entry.trained_on
    }
    assert figures == {
        "vkd_resnet50.mars": ({"rank-1": 0.8874, "mAP": 0.8222}, "distilled.zip"),
        "vkd_resnet50.mars_baseline": ({"rank-1": 0.8788, "mAP": 0.8113}, "baseline.zip"),
        "vkd_resnet101.mars": ({"rank-1": 0.8960, "mAP": 0.8265}, "distilled.zip"),
    }
    for entry in entries.values():
        assert entry.layout in LAYOUTS
        assert {metric.kind for metric in entry.metrics} == {"reported"}


def test_an_entry_goes_through_its_file_unchanged(own_index: Path) -> None:
    assert add(ENTRY) == own_index
    assert find(ENTRY.name) == ENTRY
    assert find(ENTRY.name).where == str(own_index)


def test_the_users_entry_comes_before_a_shipped_one(tmp_path: Path) -> None:
    name = "nr3d_resnet50_ibn.imagenet"
    add(WeightsEntry(name, (Source(path="/mine.pth"),)))
    assert str(find(name).sources[0]) == "/mine.pth"


def test_the_variable_names_the_users_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.yaml"
    monkeypatch.setenv("NR3D_WEIGHTS_INDEX", str(path))
    with pytest.raises(WeightsError, match=r"your index .*own.yaml \(no such file yet\)"):
        find("nr3d_resnet50_ibn.mars")
    path.write_text("nr3d_resnet50_ibn.mars:\n  sources: [https://example.org/w.pth, sub/w.pth]\n")
    sources = find("nr3d_resnet50_ibn.mars").sources
    assert [str(source) for source in sources] == [
        "https://example.org/w.pth",
        str(tmp_path / "sub" / "w.pth"),  # from the index's own folder
    ]


def test_adding_keeps_what_the_file_holds(own_index: Path) -> None:
    own_index.parent.mkdir(parents=True)
    own_index.write_text("# mine\nnr3d_resnet50.a: {sources: [/a.pth]} # keep me")
    add(ENTRY)
    add(ENTRY)  # again: the same
    text = own_index.read_text()
    assert text.startswith("# mine\nnr3d_resnet50.a: {sources: [/a.pth]} # keep me\n")
    assert text.count(ENTRY.name) == 1
    other = WeightsEntry(ENTRY.name, (Source(path="/b.pth"),))
    with pytest.raises(WeightsError, match=r"holds another nr3d_resnet18_ibn.mine already.*--repl"):
        add(other)
    assert own_index.read_text() == text
    add(other, replace=True)
    assert find(ENTRY.name) == other
    assert "nr3d_resnet50.a" in available()


GOOD = "sources: [https://example.org/w.pth]"


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("mars", GOOD, "'mars' is not a name for weights, expected architecture.tag"),
        ("nr3d_resnet50_ib.mars", GOOD, "no model nr3d_resnet50_ib; did you mean nr3d_resnet50"),
        ("nr3d_resnet50.a", "[1]", "its content is [1], expected fields"),
        ("nr3d_resnet50.a", "sha: '00000000'", "field 'sha' is not known; did you mean sha256?"),
        ("nr3d_resnet50.a", "sha256: 12345678", "field sha256 is 12345678, expected 64 hex"),
        ("nr3d_resnet50.a", "sha256: 'abc'", "field sha256 is 'abc', expected 64 hexadecimal"),
        ("nr3d_resnet50.a", "size: -1", "field size is -1, expected a whole number from 1"),
        ("nr3d_resnet50.a", "sources: https://a", "field sources is 'https://a', expected a list"),
        ("nr3d_resnet50.a", "sources: [{urll: a}]", "field sources has a 'urll', expected url"),
        ("nr3d_resnet50.a", "sources: [{url: 'ftp://a/b'}]", "'ftp://a/b', expected https"),
        ("nr3d_resnet50.a", "sources: [{zip: 'https://a/b'}]", "expected zip and member together"),
        ("nr3d_resnet50.a", "sources: [{path: a, drive: b}]", "expected exactly one of url, drive"),
        ("nr3d_resnet50.a", "input_size: [224]", "expected [height, width] in pixels"),
        ("nr3d_resnet50.a", "mean: [1, 2]", "field mean is [1, 2], expected three numbers"),
        ("nr3d_resnet50.a", "feature: neck", "'neck', expected one of after, before"),
        ("nr3d_resnet50.a", "dist_metric: l1", "expected one of euclidean, cosine"),
        ("nr3d_resnet50.a", "metrics: [{mAP: 1}]", "expected dataset, protocol, kind and values"),
        (
            "nr3d_resnet50.a",
            "metrics: [{dataset: a, protocol: torchreid, kind: measured, values: {mAP: 81}}]",
            "has mAP 81, expected a share from 0 to 1",
        ),
        ("nr3d_resnet50.a", "file: ../w.pth", "expected a file's name without folders"),
    ],
)
def test_a_bad_entry_is_refused_with_field_and_reason(
    own_index: Path, name: str, fields: str, words: str
) -> None:
    own_index.parent.mkdir(parents=True)
    content = fields if fields.startswith("[") else f"{{{fields}}}"
    own_index.write_text(f"{name}: {content}\n")
    with pytest.raises(WeightsError) as caught:
        available()
    assert str(caught.value).startswith(f"{own_index}: ")
    assert words in str(caught.value)


def test_an_entry_of_a_model_that_is_registered_elsewhere_is_kept(
    own_index: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An index is for all processes, also those that do not register a model of one's own."""
    own_index.parent.mkdir(parents=True)
    own_index.write_text("small_gait.mine: {sources: [/a.pth]}\n")
    assert available()["small_gait.mine"].architecture == "small_gait"
    assert main(["weights", "list"]) == 0
    assert "small_gait.mine" in capsys.readouterr().out
    add(ENTRY)
    assert {"small_gait.mine", ENTRY.name} <= available().keys()
    assert main(["test", "--config", "mars", "--weights", "small_gait.mine"]) == 2
    assert "model.name is 'small_gait', expected one of" in capsys.readouterr().err


def test_an_index_that_is_not_yaml_is_named(own_index: Path) -> None:
    own_index.parent.mkdir(parents=True)
    own_index.write_text("a: [1\n")
    with pytest.raises(WeightsError, match=r"weights.yaml is not YAML"):
        available()


def test_what_belongs_to_weights_as_configuration_keys() -> None:
    assert ENTRY.changes() == {
        "model.name": "nr3d_resnet18_ibn",
        "data.height": 224,
        "data.width": 112,
        "video.seq_len": 4,
        "data.norm_mean": [0.5, 0.5, 0.5],
        "data.norm_std": [0.2, 0.2, 0.2],
        "test.dist_metric": "cosine",
        "model.aggregation": "mean",
    }
    assert WeightsEntry("nr3d_resnet50.a").changes() == {"model.name": "nr3d_resnet50"}
    vkd = entry_of("vkd_resnet50.mars")
    assert vkd is not None
    assert (vkd.changes()["data.height"], vkd.changes()["video.seq_len"]) == (256, 8)


def test_measured_figures_come_before_reported_ones() -> None:
    reported = Metric("mars", "torchreid", "reported", {"mAP": 0.8})
    measured = Metric("mars", "torchreid", "measured", {"mAP": 0.7})
    entry = WeightsEntry("nr3d_resnet50.a", metrics=(reported, measured))
    assert entry.values("mars") == measured
    assert entry.values("prid2011") is None


# Parsed once

COUNTED = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
import torch, torchreid
import nr3d
from nr3d.cli import main
{use}
for index in (str(nr3d.weights.index.SHIPPED), str(nr3d.weights.user_index())):
    print("opened", opened.count(index))
"""
USES = {
    "list": "assert main(['weights', 'list']) == 0; assert main(['weights', 'list']) == 0",
    "build_model": "for _ in range(2): torchreid.models.build_model("
    "'nr3d_resnet18_ibn', 3, pretrained='mine', use_gpu=False)",
}


@pytest.mark.parametrize("use", USES)
def test_an_index_is_read_once_in_a_process(own_index: Path, tmp_path: Path, use: str) -> None:
    path = tmp_path / "w.pth"
    torch.save(nr3d.models.VideoReID(18, 3).state_dict(), path)
    add(WeightsEntry(ENTRY.name, (Source(path=str(path)),)))
    done = subprocess.run(
        [sys.executable, "-c", COUNTED.format(use=USES[use])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["opened 1", "opened 1"]


def test_an_index_that_another_process_changes_is_read_again(own_index: Path) -> None:
    add(ENTRY)
    time.sleep(0.06)  # so that it is remembered
    assert ENTRY.name in available()
    code = (
        "from nr3d.weights import Source, WeightsEntry, add\n"
        "add(WeightsEntry('nr3d_resnet50.b', (Source(path='/b.pth'),)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert str(find("nr3d_resnet50.b").sources[0]) == "/b.pth"
    text = own_index.read_text()
    own_index.write_text(text.replace("/b.pth", "/c.pth"))
    assert str(find("nr3d_resnet50.b").sources[0]) == "/c.pth"
    own_index.unlink()
    assert ENTRY.name not in available()


def test_a_caller_cannot_change_what_others_find(own_index: Path) -> None:
    add(ENTRY)
    time.sleep(0.06)  # so that it is remembered
    for _ in range(2):
        found = find(ENTRY.name)
        assert found == ENTRY
        assert isinstance(found.config, dict)
        found.config["train"]["lr"] = 1.0
        found.metrics[0].values.clear()
        found.versions.clear()
        available().clear()


def add_some(letter: str) -> None:
    for number in range(5):
        add(WeightsEntry(f"nr3d_resnet50.{letter}{number}", (Source(path="/w.pth"),)))


@pytest.mark.skipif(sys.platform == "win32", reason="the processes are forked")
def test_processes_that_add_at_the_same_time_lose_nothing(own_index: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=add_some, args=(letter,)) for letter in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    added = {name for name, entry in available().items() if entry.where == str(own_index)}
    assert added == {f"nr3d_resnet50.{letter}{number}" for letter in "abc" for number in range(5)}
    assert [path.name for path in own_index.parent.iterdir()] == [own_index.name]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root writes anywhere")
def test_an_index_in_a_folder_that_cannot_be_written(own_index: Path) -> None:
    add(ENTRY)
    own_index.parent.chmod(0o555)
    try:
        add(ENTRY)  # is there already
        with pytest.raises(OutputError, match=re.escape(str(own_index))):
            add(WeightsEntry("nr3d_resnet50.b", (Source(path="/b.pth"),)))
    finally:
        own_index.parent.chmod(0o755)
    assert find(ENTRY.name) == ENTRY


def test_a_disk_that_is_full_keeps_the_index(
    own_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(ENTRY)
    before = own_index.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"weights.yaml cannot be written \(No space left"):
        add(WeightsEntry("nr3d_resnet50.b", (Source(path="/b.pth"),)))
    assert own_index.read_bytes() == before
    assert [path.name for path in own_index.parent.iterdir()] == [own_index.name]
