"""Weights for others: exported, served, added, fetched and built elsewhere, the same to the bit."""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

import nr3d
from nr3d.cli import main
from nr3d.config import read_yaml
from nr3d.engine import read_records
from nr3d.errors import OutputError, WeightsError
from nr3d.host import torchreid
from nr3d.weights import entry_of, export, load, read_tensors

NAME = "nr3d_resnet18_ibn.mars"
SMALL = [
    *("model.name", "nr3d_resnet18_ibn", "model.pretrained", "False", "data.height", "32"),
    *("data.width", "16", "train.batch_size", "8", "sampler.num_instances", "2"),
    *("video.seq_len", "2", "data.workers", "0", "train.max_epoch", "1"),
]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def machine(
    no_weights: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """Begin on a machine without weights, whose user names an index; called, go on at another."""

    def move(name: str) -> None:
        no_weights(name)
        monkeypatch.setenv("NR3D_WEIGHTS_INDEX", str(tmp_path / name / "weights.yaml"))

    move("first")
    return move


@pytest.fixture(scope="module")
def run(mars_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one small training run."""
    folder = tmp_path_factory.mktemp("run") / "log"
    words = ["train", "--config", "mars_paper", "--root", str(mars_root), *SMALL]
    assert main([*words, "data.save_dir", str(folder)]) == 0
    return folder


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address that it is served at."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_whole_circle_over_http(
    run: Path,
    mars_root: Path,
    served: tuple[Path, str],
    machine: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, address = served
    checkpoint = run / "model-best.pth.tar"
    words = ["weights", "export", str(checkpoint), "--name", NAME, "--out", str(folder)]
    assert main([*words, "--licence", "MIT"]) == 0
    assert f"nr3d weights add {NAME}.yaml --source ADDRESS" in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{NAME}.md",
        f"{NAME}.safetensors",
        f"{NAME}.yaml",
    ]

    machine("there")
    assert main(["weights", "fetch", NAME]) == 2
    err = capsys.readouterr().err
    assert f"No weights are named '{NAME}'" in err
    assert "there/weights.yaml (no such file yet)" in err
    source = f"{address}/{NAME}.safetensors"
    assert main(["weights", "add", str(folder / f"{NAME}.yaml"), "--source", source]) == 0
    assert "build_model('nr3d_resnet18_ibn', pretrained='mars')" in capsys.readouterr().out
    assert main(["weights", "fetch", NAME]) == 0
    fetched = Path(capsys.readouterr().out.split(": ", 1)[1].strip())
    assert fetched.read_bytes() == (folder / f"{NAME}.safetensors").read_bytes()
    assert main(["weights", "verify"]) == 0
    assert f"{NAME}: ok" in capsys.readouterr().out
    assert main(["weights", "list"]) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith(NAME)]
    assert line.endswith("yes")
    assert "mars, torchreid, measured" in line

    model = torchreid.models.build_model("nr3d_resnet18_ibn", 8, pretrained="mars").eval()
    original = torchreid.models.build_model("nr3d_resnet18_ibn", 8, pretrained=False).eval()
    load(original, checkpoint, whole=True)
    clips = torch.rand(3, 2, 3, 32, 16)
    with torch.no_grad():
        assert torch.equal(model(clips), original(clips))

    # Tested by its name alone: size, clip length and network are the weights' own.
    words = ["test", "--config", "mars", "--root", str(mars_root), "--weights", NAME]
    assert main([*words, "data.workers", "0", "--json", "test.json"]) == 0
    printed = capsys.readouterr()
    assert f"{NAME} is tested with model.name nr3d_resnet18_ibn, data.height 32" in printed.err
    result = json.loads(Path("test.json").read_text())["results"]["mars"]
    (record,) = [r for r in read_records(run) if r["kind"] == "test"]
    assert (result["rank-1"], result["mAP"]) == (record["rank-1"], record["mAP"])


def test_the_manifest_says_all_that_the_run_knows(run: Path, tmp_path: Path) -> None:
    exported = export(run / "model-best.pth.tar", NAME, tmp_path, origin="our paper")
    content = read_yaml(exported.manifest)[NAME]
    (record,) = [r for r in read_records(run) if r["kind"] == "test"]
    figures = {key: value for key, value in record.items() if key.startswith(("rank-", "mAP"))}
    assert content["metrics"] == [
        {"dataset": "mars", "protocol": "torchreid", "kind": "measured", "values": figures}
    ]
    config = content.pop("config")
    assert config["train"]["batch_size"] == 8
    assert "root" not in config["data"], "where things lie here is nobody's business"
    assert "save_dir" not in config["data"]
    assert set(content.pop("versions")) == {"nr3d", "torch", "torchvision", "torchreid", "python"}
    assert len(content.pop("sha256")) == 64
    assert content.pop("size") == exported.weights.stat().st_size
    del content["metrics"]
    assert content.pop("attention") in ("flat", "alive")
    assert content == {
        "layout": "nr3d",
        "trained_on": ["mars"],
        "identities": 8,
        "input_size": [32, 16],
        "frames": 2,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "aggregation": "attention",
        "feature": "after",
        "dist_metric": "euclidean",
        "origin": "our paper",
        "file": f"{NAME}.safetensors",
    }
    card = exported.card.read_text()
    for part in (NAME, "32×16 pixels, clips of 2 frames", "our paper", "| licence | not known |"):
        assert part in card
    assert f"{figures['mAP']:.2%}" in card


def test_the_weights_hold_the_model_and_nothing_of_the_training(run: Path, tmp_path: Path) -> None:
    exported = export(run / "model-last.pth.tar", NAME, tmp_path)
    state = read_tensors(exported.weights)
    model = torchreid.models.build_model("nr3d_resnet18_ibn", 8, pretrained=False)
    assert set(state) == set(model.state_dict())
    size = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    assert size < exported.weights.stat().st_size < size + 60_000
    # The file alone, away from its manifest, still says how it is used.
    entry = entry_of(exported.weights)
    assert entry is not None
    assert (entry.name, entry.input_size, entry.frames) == (NAME, (32, 16), 2)


def test_a_training_checkpoint_is_tested_as_it_was_trained(run: Path) -> None:
    entry = entry_of(run / "model-best.pth.tar")
    assert entry is not None
    assert entry.changes() | {"data.norm_mean": 0, "data.norm_std": 0} == {
        "model.name": "nr3d_resnet18_ibn",
        "data.height": 32,
        "data.width": 16,
        "video.seq_len": 2,
        "data.norm_mean": 0,
        "data.norm_std": 0,
        "test.dist_metric": "euclidean",
        "model.aggregation": "attention",
        "not3d.attention": "paper",
    }


def test_a_file_sets_where_the_feature_is_taken(
    run: Path, tmp_path: Path, small_model: Callable[..., nr3d.models.VideoReID]
) -> None:
    """Also by its path, without an index."""
    content = torch.load(run / "model-best.pth.tar", weights_only=True)
    content["facts"]["feature"] = "before"
    torch.save(content, tmp_path / "before.pth")
    exported = export(tmp_path / "before.pth", NAME, tmp_path)
    for path in (tmp_path / "before.pth", exported.weights):
        model = small_model(8)
        load(model, path)
        assert model.feature == "before"
        assert model.entry is not None
        assert model.entry.input_size == (32, 16)


def test_an_export_that_cannot_be_done_writes_nothing(
    run: Path, tmp_path: Path, small_model: Callable[..., nr3d.models.VideoReID]
) -> None:
    out, best = tmp_path / "out", run / "model-best.pth.tar"
    for name, words in (
        ("nr3d_resnet50.mars", "was trained as nr3d_resnet18_ibn, not as nr3d_resnet50"),
        ("nr3d_resnet9.mars", "trained as nr3d_resnet18_ibn"),
        ("mars", "is not a name for weights, expected architecture.tag"),
    ):
        with pytest.raises(WeightsError, match=words):
            export(best, name, out)
    with pytest.raises(WeightsError, match="No checkpoint at"):
        export(tmp_path / "gone", NAME, out)
    plain = tmp_path / "plain.pth"
    torch.save(small_model(5).state_dict(), plain)
    with pytest.raises(WeightsError, match="does not fit this model"):
        export(plain, "nr3d_resnet34_ibn.x", out)
    with pytest.raises(WeightsError, match="There is no model nr3d_resnet9"):
        export(plain, "nr3d_resnet9.x", out)
    assert not out.exists()
    export(plain, "nr3d_resnet18_ibn.x", out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(WeightsError, match=r"is there already.*--replace"):
        export(best, "nr3d_resnet18_ibn.x", out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    export(best, "nr3d_resnet18_ibn.x", out, replace_files=True)


def test_what_a_plain_file_does_not_tell_is_left_open(
    small_model: Callable[..., nr3d.models.VideoReID],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = small_model(5, aggregation="mean")
    torch.save(source.state_dict(), "plain.pth")
    assert main(["weights", "export", "plain.pth", "--name", NAME, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "fill in the manifest where you can: trained_on, input_size, frames, metrics" in printed
    content = read_yaml(tmp_path / f"{NAME}.yaml")[NAME]
    assert set(content) == {
        *("layout", "identities", "aggregation", "feature", "file", "sha256", "size")
    }
    assert content["aggregation"] == "mean"


def test_what_the_options_say_is_published_and_taken_in(
    tmp_path: Path,
    small_model: Callable[..., nr3d.models.VideoReID],
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "plain.pth"
    torch.save(small_model(5, aggregation="mean").state_dict(), file)
    words = ["weights", "export", str(file), "--name", NAME, "--out", str(tmp_path / "out")]

    def published() -> tuple[str, str]:
        content = read_yaml(tmp_path / "out" / f"{NAME}.yaml")[NAME]
        return content["licence"], content["origin"]

    assert main([*words, "--licence", "MIT", "--origin", "our paper"]) == 0
    assert published() == ("MIT", "our paper")
    others = ["--licence", "0BSD", "--origin", "another"]
    assert main([*words, *others]) == 2
    assert published() == ("MIT", "our paper")
    assert main([*words, *others, "--replace"]) == 0
    assert published() == ("0BSD", "another")

    words = ["weights", "add", str(file), "--name", NAME]
    assert main([*words, "--licence", "MIT", "--origin", "our paper"]) == 0
    assert main([*words, *others]) == 2
    entry = nr3d.weights.find(NAME)
    assert (entry.licence, entry.origin) == ("MIT", "our paper")
    more = ["--source", "https://example.org/a.pth", "--source", "drive:1a"]
    assert main([*words, *others, *more, "--replace"]) == 0
    entry = nr3d.weights.find(NAME)
    assert (entry.licence, entry.origin) == ("0BSD", "another")
    assert [source.url or source.drive for source in entry.sources[1:]] == [
        "https://example.org/a.pth",
        "1a",
    ]
    assert main(["weights", "list", "--json", str(tmp_path / "list.json")]) == 0
    assert json.loads((tmp_path / "list.json").read_text())[NAME]["licence"] == "0BSD"


# Taking weights in


def test_a_file_one_has_is_added_by_name(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = run / "model-best.pth.tar"
    assert main(["weights", "add", str(best)]) == 2
    assert "give --name ARCHITECTURE.TAG" in capsys.readouterr().err
    assert main(["weights", "add", str(best), "--name", NAME]) == 0
    entry = nr3d.weights.find(NAME)
    assert (entry.size, entry.input_size, entry.layout) == (best.stat().st_size, (32, 16), "nr3d")
    assert str(entry.sources[0]) == str(best)
    model = torchreid.models.build_model("nr3d_resnet18_ibn", 8, pretrained="mars")
    state = read_tensors(best)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


def test_a_foreign_file_is_added_with_its_layout(tmp_path: Path) -> None:
    state = nr3d.models.FrameTrunk(18).state_dict()
    torch.save(state, tmp_path / "trunk.pth")
    words = ["weights", "add", str(tmp_path / "trunk.pth"), "--name", "nr3d_resnet18_ibn.start"]
    assert main([*words, "--licence", "MIT", "--origin", "somewhere"]) == 0
    entry = nr3d.weights.find("nr3d_resnet18_ibn.start")
    assert (entry.layout, entry.identities, entry.licence) == ("torchvision", None, "MIT")
    model = torchreid.models.build_model("nr3d_resnet18_ibn", 8, pretrained="start")
    assert torch.equal(model.backbone.conv1.weight, state["conv1.weight"])


def test_a_manifest_finds_its_file_beside_it(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = export(run / "model-best.pth.tar", NAME, tmp_path / "out")
    manifest = str(exported.manifest)
    moved = exported.weights.rename(tmp_path / "elsewhere.safetensors")
    assert main(["weights", "add", manifest]) == 2
    assert f"names no address of {NAME}.safetensors: give --source" in capsys.readouterr().err
    moved.rename(exported.weights)
    assert main(["weights", "add", manifest]) == 0
    assert nr3d.weights.fetch(NAME) == exported.weights


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["add", "gone.yaml"], "There is no file gone.yaml"),
        (
            ["add", "w.pth", "--name", "nr3d_resnet18_ibn.x"],
            "is not a readable checkpoint, it is a web page",
        ),
        (["add", "w.pth", "--name", "x"], "'x' is not a name for weights"),
        (["add", "m.yaml", "--name", "x.y"], "is a manifest and holds its name"),
        (["fetch", "vkd_resnet50.mar"], "Did you mean vkd_resnet50.mars"),
        (["verify", "vkd_resnet50.mars"], "1 of 1 files are wrong or missing: vkd_resnet50.mars"),
        (["export", "gone.pth", "--name", NAME], "No checkpoint at gone.pth"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_status_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("w.pth").write_bytes(b"<html>")
    Path("m.yaml").write_text("nr3d_resnet18_ibn.a: {}")
    assert main(["weights", *words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert message in err


# A disk that is full


@pytest.fixture
def exported(small_model: Callable[..., nr3d.models.VideoReID], tmp_path: Path) -> Path:
    """A folder with an export, beside the weights that it is of."""
    torch.save(small_model(4).state_dict(), tmp_path / "w.pth")
    export(tmp_path / "w.pth", NAME, tmp_path / "out")
    return tmp_path / "out"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.skipif(sys.platform == "win32", reason="limits of another kind")
def test_an_export_that_finds_no_space_names_the_file_and_leaves_what_was(
    exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import resource

    before = contents(exported)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    words = ["weights", "export", str(exported.parent / "w.pth"), "--name", NAME]
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
        assert main([*words, "--out", str(exported), "--replace"]) == 2
        assert main([*words, "--out", str(exported.parent / "new")]) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line.startswith("nr3d: error:")]
    assert len(lines) == 2, err
    assert f"{exported / NAME}.safetensors cannot be written" in lines[0]
    assert "File too large" in lines[0]
    assert f"{exported.parent / 'new' / NAME}.safetensors cannot be written" in lines[1]
    assert "Traceback" not in err
    assert contents(exported) == before
    assert list((exported.parent / "new").iterdir()) == []


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_the_three_files_of_an_export_are_all_new_or_all_old(
    exported: Path, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(exported)
    synced, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        synced(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\)"):
        export(exported.parent / "w.pth", NAME, exported, licence="MIT", replace_files=True)
    assert contents(exported) == before
    with pytest.raises(OutputError):
        calls.clear()
        export(exported.parent / "w.pth", NAME, exported.parent / "new")
    assert list((exported.parent / "new").iterdir()) == []


def test_an_export_over_a_folder_or_into_a_file_is_refused(exported: Path) -> None:
    (exported / f"{NAME}.md").unlink()
    (exported / f"{NAME}.md").mkdir()
    with pytest.raises(WeightsError, match=rf"{NAME}.md is a folder: choose another"):
        export(exported.parent / "w.pth", NAME, exported, replace_files=True)
    with pytest.raises(OutputError, match=r"w\.pth"):
        export(exported.parent / "w.pth", NAME, exported.parent / "w.pth")


def test_an_exported_file_is_checked_by_its_own_checksum(exported: Path) -> None:
    path = exported / f"{NAME}.safetensors"
    (exported / f"{NAME}.yaml").unlink()
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"its bytes have the CRC-32 \w{8}, \w{8} was written"):
        read_tensors(path)
