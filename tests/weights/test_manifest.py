"""What files say of themselves: facts, manifests and indexes of any content, one error or right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import nr3d
from nr3d.errors import WeightsError
from nr3d.weights import available, entry_of, load, user_index
from nr3d.weights.safetensors_file import write_safetensors


@pytest.fixture(autouse=True)
def own_index(no_weights: object) -> Path:
    return user_index()


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential()
        self.backbone.add_module("conv1", nn.Conv2d(3, 4, 3))


GOOD = {"architecture": "nr3d_resnet18_ibn", "frames": 4}
LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"facts": [1, 2]}, r"has facts that are \[1, 2\], expected names with values"),
        ({"facts": {1: 2}}, "expected names with values"),
        ({"facts": "all"}, "has facts that are 'all'"),
        ({"facts": GOOD | {"results": [1]}}, "cannot be read as weights with facts"),
        ({"facts": GOOD | {"results": {"mars": 3}}}, "field metrics is 3, expected names"),
        ({"facts": GOOD | {"results": {"mars": {"mAP": float("nan")}}}}, "has mAP nan, expected"),
        (
            {"facts": GOOD | {"results": {"mars": {}}, "protocol": ["x"]}},
            "expected one of torchreid",
        ),
        ({"facts": GOOD | {"config": 5}}, "field config is 5, expected names with values"),
        ({"facts": GOOD | {"config": {"a": {"b": torch.ones(1)}}}}, "expected plain values"),
        ({"facts": GOOD | {"config": {"a": list(range(20_000))}}}, "more than 10,000 values"),
        ({"facts": GOOD | {"architecture": {"a": 1}}}, "is not a name for weights"),
        (
            {"facts": GOOD | {"frames": 10**20}},
            "field frames is 1000.*whole number from 1 to 100,0",
        ),
        ({"facts": GOOD | {"identities": 1 << 900}}, "field identities is "),
        ({"facts": GOOD | {"input_size": [224, 10**20]}}, "field input_size is 1000"),
        (
            {"facts": GOOD | {"std": [0.1, 0, 0.1]}},
            r"field std is \[0.1, 0, 0.1\], expected .* above",
        ),
        ({"facts": GOOD | {"mean": [float("nan")] * 3}}, "field mean is"),
        ({"facts": GOOD | {"mean": [10**400, 0, 0]}}, "field mean is"),
        ({"facts": GOOD | {"x" * 5000: 1}}, r"field 'xxx.* is not known"),
        ({"facts": GOOD, "versions": [1]}, r"field versions is \[1\], expected names"),
        ({"facts": GOOD, "versions": {"a": [1]}}, r"field versions holds \[1\], expected a text"),
    ],
)
def test_facts_that_are_none_are_one_error(content: Any, words: str, tmp_path: Path) -> None:
    model = Small()
    torch.save({"state_dict": Small().state_dict()} | content, tmp_path / "w.pth")
    before = model.backbone.conv1.weight.clone()
    for use in (entry_of, lambda path: load(model, path)):
        with pytest.raises(WeightsError, match=words) as caught:
            use(tmp_path / "w.pth")
        assert str(tmp_path / "w.pth") in str(caught.value)
        assert len(str(caught.value)) < 600
    assert torch.equal(model.backbone.conv1.weight, before), "the model is as it was"


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ("[1]", "not one name with its facts"),
        ("{}", "not one name with its facts"),
        ('{"a": 1', "cannot be read as weights with facts of their use"),
        ("[" * 100_000, "cannot be read as weights with facts of their use"),
        ('{"nr3d_resnet18_ibn.a": [1]}', r"its content is \[1\]"),
        ('{"nr3d_resnet18_ibn.a": {"frames": 1' + "0" * 5000 + "}}", "cannot be read as weights"),
        ('{"x": {}}', "'x' is not a name for weights"),
    ],
)
def test_facts_in_safetensors_that_are_none(held: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write_safetensors(Small().state_dict(), {"nr3d.entry": held}, path)
    for use in (entry_of, lambda path: load(Small(), path)):
        with pytest.raises(WeightsError, match=words) as caught:
            use(path)
        assert str(path) in str(caught.value)
        assert len(str(caught.value)) < 600


HUGE = "1" + "0" * 20
LAUGHS = "a: &a [1,1]\n" + "".join(
    f"{new}: &{new} [*{old},*{old},*{old},*{old},*{old},*{old},*{old},*{old},*{old}]\n"
    for old, new in zip("abcdefghijklm", "bcdefghijklmn", strict=True)
)


@pytest.mark.parametrize(
    "content",
    [
        f"nr3d_resnet50.a: {{frames: {HUGE}}}",
        f"nr3d_resnet50.a: {{identities: {HUGE}}}",
        f"nr3d_resnet50.a: {{size: {HUGE}}}",
        f"nr3d_resnet50.a: {{input_size: [{HUGE}, 3]}}",
        f"nr3d_resnet50.a: {{mean: [{HUGE}, 3, 4]}}",
        "nr3d_resnet50.a: {frames: 0x" + "f" * 9000 + "}",
        "nr3d_resnet50.a: {sha256: 0x" + "f" * 9000 + "}",
        "nr3d_resnet50.a: {0x" + "f" * 9000 + ": 1}",
        "nr3d_resnet50.a: {config: {0x" + "f" * 9000 + ": 1}}",
        "nr3d_resnet50.a: {file: '" + "x/" * 9000 + "'}",
        "nr3d_resnet50.a: {sources: [{path: ~nobody-of-this-name/w.pth}]}",
        "0x" + "f" * 9000 + ": {}",
        "? [1, 2]\n: {}",
        "nr3d_resnet50.a: &a {config: *a}",
        "nr3d_resnet50.a: {std: [.inf, .nan, 1]}",
        "nr3d_resnet50." + "a" * 5000 + "!: {}",
        LAUGHS,
    ],
)
def test_an_index_of_any_content_is_one_error(content: str, own_index: Path) -> None:
    own_index.parent.mkdir(parents=True)
    own_index.write_text(content + "\n")
    with pytest.raises(WeightsError) as caught:
        available()
    assert str(own_index) in str(caught.value)
    assert len(str(caught.value)) < 700
    assert str(caught.value).isprintable()


def test_a_manifest_beside_a_file_is_what_it_is_checked_by(tmp_path: Path) -> None:
    torch.save(Small().state_dict(), tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    digest = nr3d.weights.hashing.sha256_of(tmp_path / "w.pth")
    manifest = tmp_path / "w.yaml"
    fields = {"file": "w.pth", "sha256": digest}
    manifest.write_text(json.dumps({"nr3d_resnet18_ibn.a": fields}))
    load(Small(), tmp_path / "w.pth")
    data = bytearray((tmp_path / "w.pth").read_bytes())
    data[-9] ^= 1  # a number, for which such a file has no checksum
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(
        WeightsError, match=r"w.pth is not the file of .*w.yaml: its SHA-256 starts"
    ):
        load(Small(), tmp_path / "w.pth")
    for other in ("[1", "a: 1", json.dumps({"a": fields | {"file": "v.pth"}}), LAUGHS[:-20]):
        manifest.write_text(other)  # of another purpose
        load(Small(), tmp_path / "w.pth")


def test_a_loop_in_a_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": Small().state_dict(), "args": LOOP}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="nested deeper than 100"):
        entry_of(tmp_path / "w.pth")
