"""Weights: read safely, loaded whole, downloaded from a server that may misbehave."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

import nr3d
from nr3d.errors import WeightsError
from nr3d.host import torchreid
from nr3d.weights import (
    IMAGENET_URLS,
    fetch_imagenet,
    load_weights,
    read_checkpoint,
    write_checkpoint,
)

Build = Callable[..., nr3d.models.VideoReID]


class Server:
    """A real HTTP server on this machine with one file and one way of misbehaving."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.mode = "good"
        self.requests = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                if outer.mode == "404":
                    self.send_error(404)
                    return
                body = b"<html>quota</html>" if outer.mode == "html" else outer.content
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if outer.mode == "truncated" else body)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def ibn_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A ResNet-18-IBN-a file as published: torchvision's names and an ImageNet head."""
    torch.manual_seed(3)
    state = nr3d.models.FrameTrunk(18).state_dict()
    state |= {"fc.weight": torch.rand(1000, 512), "fc.bias": torch.rand(1000)}
    path = tmp_path_factory.mktemp("ibn") / "file.pth"
    torch.save(state, path)
    return path.read_bytes()


@pytest.fixture
def server(ibn_file: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server(ibn_file)
    digest = hashlib.sha256(ibn_file).hexdigest()[:8]
    monkeypatch.setitem(
        IMAGENET_URLS, "nr3d_resnet18_ibn", f"{server.url}/resnet18_ibn_a-{digest}.pth"
    )
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    yield server
    server.http.shutdown()


def hub_files(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "hub" / "hub" / "checkpoints").iterdir())


def test_pretrained_is_fetched_once_verified_and_loaded(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        model = torchreid.models.build_model("nr3d_resnet18_ibn")
    assert server.requests == 1
    assert len(hub_files(tmp_path)) == 1
    torch.manual_seed(3)
    expected = nr3d.models.FrameTrunk(18).state_dict()
    assert all(torch.equal(model.backbone.state_dict()[k], v) for k, v in expected.items())


@pytest.mark.parametrize("mode", ["404", "truncated", "html"])
def test_a_failed_download_leaves_nothing_and_says_what_to_do(
    server: Server, tmp_path: Path, mode: str
) -> None:
    server.mode = mode
    with pytest.raises(WeightsError) as caught:
        torchreid.models.build_model("nr3d_resnet18_ibn", pretrained=True)
    message = str(caught.value)
    assert IMAGENET_URLS["nr3d_resnet18_ibn"] in message
    assert str(tmp_path / "hub" / "hub" / "checkpoints" / "resnet18_ibn_a-") in message
    assert "pretrained=False" in message
    assert hub_files(tmp_path) == []


def test_without_a_network_the_error_names_url_place_and_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setitem(
        IMAGENET_URLS, "nr3d_resnet50_ibn", "http://127.0.0.1:9/resnet50_ibn_a-d9d0bb7b.pth"
    )
    with pytest.raises(WeightsError, match=r"127.0.0.1:9/resnet50.*by hand at .*pretrained=False"):
        torchreid.models.build_model("nr3d_resnet50_ibn")


def test_a_file_put_by_hand_is_verified_too(server: Server, tmp_path: Path) -> None:
    path = fetch_imagenet("nr3d_resnet18_ibn")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(WeightsError, match=r"is not the file that its name promises.*delete it"):
        fetch_imagenet("nr3d_resnet18_ibn")
    assert server.requests == 1


def test_addresses_are_the_published_ones() -> None:
    suffixes = {name: url.rsplit("-", 1)[1] for name, url in IMAGENET_URLS.items()}
    assert suffixes == {
        "nr3d_resnet18_ibn": "2f571257.pth",
        "nr3d_resnet34_ibn": "94bc1577.pth",
        "nr3d_resnet50_ibn": "d9d0bb7b.pth",
        "nr3d_resnet101_ibn": "59ea0ac6.pth",
        "nr3d_resnet50": "0676ba61.pth",
    }
    assert set(IMAGENET_URLS) == set(nr3d.models.ARCHITECTURES)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_path_loads_the_whole_model(
    small_model: Build, tmp_path: Path, prefix: str, wrapped: bool
) -> None:
    source = small_model(8, seed=1)
    state = {prefix + key: value for key, value in source.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3} if wrapped else state, tmp_path / "w.pth")
    model = torchreid.models.build_model("nr3d_resnet18_ibn", 8, pretrained=str(tmp_path / "w.pth"))
    for key, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


def test_only_the_classifier_may_have_another_size(
    small_model: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = small_model(8, seed=1)
    write_checkpoint({"state_dict": source.state_dict()}, tmp_path / "w.pth")
    model = small_model(3, seed=2)
    before = model.classifier.weight.detach().clone()
    with caplog.at_level("INFO", logger="nr3d"):
        load_weights(model, tmp_path / "w.pth")
    assert "classifies 8 identities, the model 3: its classifier is not loaded" in caplog.text
    assert torch.equal(model.classifier.weight, before)
    assert torch.equal(model.bottleneck.weight, source.bottleneck.weight)
    assert torch.equal(model.backbone.conv1.weight, source.backbone.conv1.weight)


def test_keys_that_do_not_fit_are_listed_and_nothing_is_loaded(
    small_model: Build, tmp_path: Path
) -> None:
    state = small_model(8, seed=1).state_dict()
    del state["aggregation.temporal.bias"]
    state["something.else"] = torch.zeros(1)
    state["bottleneck.weight"] = torch.zeros(3)
    torch.save(state, tmp_path / "w.pth")
    model = small_model(8)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_weights(model, tmp_path / "w.pth")
    for part in (
        "w.pth does not fit",
        "missing in the file: aggregation.temporal.bias",
        "unknown to the model: something.else",
        "bottleneck.weight is (3,), the model's (512,)",
    ):
        assert part in str(caught.value)
    assert all(torch.equal(model.state_dict()[k], v) for k, v in before.items())


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": Malicious(tmp_path / "ran")}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w.pth is not a weights-only checkpoint"):
        read_checkpoint(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"<html>quota</html>", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"w.pth is not a (readable|weights-only) checkpoint"):
        read_checkpoint(tmp_path / "w.pth")


def test_what_is_no_checkpoint_is_refused(small_model: Build, tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="holds a list, expected a state dict"):
        read_checkpoint(tmp_path / "list.pth")
    torch.save({"epoch": 1}, tmp_path / "empty.pth")
    with pytest.raises(WeightsError, match="holds no weights"):
        load_weights(small_model(), tmp_path / "empty.pth")
    with pytest.raises(WeightsError, match="No checkpoint at"):
        read_checkpoint(tmp_path / "nothing.pth")


def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pth"
    write_checkpoint({"epoch": 1}, path)

    def full_disk(state: Any, file: Any) -> None:
        Path(file).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint({"epoch": 2}, path)
    monkeypatch.undo()
    assert read_checkpoint(path) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_is_readable_as_others_are(tmp_path: Path) -> None:
    write_checkpoint({"epoch": 1}, tmp_path / "a.pth")
    (tmp_path / "b.txt").write_text("b")
    assert (tmp_path / "a.pth").stat().st_mode == (tmp_path / "b.txt").stat().st_mode
