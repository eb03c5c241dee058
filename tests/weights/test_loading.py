"""Weights into a model: whole or refused, and every key in the report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import torchvision

import nr3d
from nr3d.cli import main
from nr3d.errors import WeightsError
from nr3d.host import torchreid
from nr3d.weights import Source, WeightsEntry, add, load, write_checkpoint

Build = Callable[..., nr3d.models.VideoReID]


@pytest.fixture(autouse=True)
def own_index(no_weights: object, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of the test's own, and nothing that is fetched."""
    monkeypatch.setenv("NR3D_OFFLINE", "1")
    return nr3d.weights.user_index()


def same(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(model.state_dict()[key], value) for key, value in state.items())


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_path_loads_the_whole_model(
    small_model: Build, tmp_path: Path, prefix: str, wrapped: bool
) -> None:
    source = small_model(8, seed=1)
    state = {prefix + key: value for key, value in source.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3} if wrapped else state, tmp_path / "w.pth")
    model = torchreid.models.build_model("nr3d_resnet18_ibn", 8, pretrained=str(tmp_path / "w.pth"))
    assert same(model, source.state_dict())


def test_only_the_classifier_may_have_another_size(
    small_model: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = small_model(8, seed=1)
    write_checkpoint({"state_dict": source.state_dict()}, tmp_path / "w.pth")
    model = small_model(3, seed=2)
    before = model.classifier.weight.detach().clone()
    with caplog.at_level("INFO", logger="nr3d"):
        report = load(model, tmp_path / "w.pth", whole=True)
    why = "8 identities in the file, 3 here"
    assert report.left == report.unused == {"classifier.weight": why}
    assert f"Left at its initial value: classifier (1 tensor): {why}." in caplog.text
    assert torch.equal(model.classifier.weight, before)
    others = {k: v for k, v in source.state_dict().items() if k != "classifier.weight"}
    assert same(model, others)
    assert set(report.loaded) == set(others)


def test_keys_that_do_not_fit_are_listed_and_nothing_is_loaded(
    small_model: Build, tmp_path: Path
) -> None:
    state = small_model(8, seed=1).state_dict()
    del state["aggregation.temporal.bias"]
    state["backbone.something"] = torch.zeros(1)
    state["bottleneck.weight"] = torch.zeros(3)
    torch.save(state, tmp_path / "w.pth")
    model = small_model(8)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load(model, tmp_path / "w.pth")
    for part in (
        "w.pth does not fit",
        "missing in the file: aggregation.temporal.bias",
        "unknown to the model: backbone.something",
        "bottleneck.weight is (3,), the model's (512,)",
    ):
        assert part in str(caught.value)
    assert same(model, before)


@pytest.mark.parametrize("name", ["nr3d_resnet34_ibn", "nr3d_resnet50"])
def test_another_network_is_refused(small_model: Build, tmp_path: Path, name: str) -> None:
    torch.save(small_model(8).state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"w.pth does not fit this model"):
        torchreid.models.build_model(name, 8, pretrained=str(tmp_path / "w.pth"))


def test_a_file_of_no_known_layout_is_refused_with_those_that_are(
    small_model: Build, tmp_path: Path
) -> None:
    torch.save(torchvision.models.squeezenet1_0().state_dict(), tmp_path / "w.pth")
    with pytest.raises(WeightsError) as caught:
        load(small_model(), tmp_path / "w.pth")
    for part in ("no known layout", "features.0.weight", "vkd (", "vprt (", "not3d ("):
        assert part in str(caught.value)


def test_torchreids_stock_models_load_by_their_own_names(tmp_path: Path) -> None:
    source = torchreid.models.build_model("resnet18", 4, pretrained=False)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "w.pth")
    model = torchreid.models.build_model("resnet18", 6, pretrained=False)
    report = load(model, tmp_path / "w.pth")
    assert set(report.left) == {"classifier.weight", "classifier.bias"}
    # and its trunk starts one of ours
    video = torchreid.models.build_model("nr3d_resnet50", 6, pretrained=False)
    with pytest.raises(WeightsError, match="does not fit"):
        load(video, tmp_path / "w.pth")
    video = nr3d.models.VideoReID(18, 6, ibn=False)
    assert set(load(video, tmp_path / "w.pth").unused) == {"classifier.weight", "classifier.bias"}
    assert torch.equal(video.backbone.layer4[1].bn2.weight, source.layer4[1].bn2.weight)


# Aggregations from outside


def checkpoint(
    path: Path, aggregation: str, *, named: bool, seed: int = 5
) -> nr3d.models.VideoReID:
    """Write a network's weights, with or without the facts of a training checkpoint."""
    torch.manual_seed(seed)
    source = nr3d.models.ARCHITECTURES["small_frames"](4, pretrained=False, aggregation=aggregation)
    facts = {"architecture": "small_frames", "aggregation": aggregation}
    write_checkpoint(
        {"state_dict": source.state_dict()} | ({"facts": facts} if named else {}), path
    )
    return source


def target(aggregation: str) -> nr3d.models.VideoReID:
    torch.manual_seed(6)
    return nr3d.models.ARCHITECTURES["small_frames"](4, pretrained=False, aggregation=aggregation)


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("aggregation", ["greatest", "gated", "mean", "attention"])
@pytest.mark.parametrize("named", [True, False])
def test_weights_of_the_same_aggregation_are_whole(
    aggregation: str, named: bool, tmp_path: Path
) -> None:
    source = checkpoint(tmp_path / "w.pth", aggregation, named=named)
    model = target(aggregation)
    report = load(model, tmp_path / "w.pth", whole=True)
    assert (report.left, report.unused, report.differs) == ({}, {}, "")
    assert same(model, source.state_dict())


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(
    ("theirs", "mine", "named"),
    [
        ("greatest", "mean", True),
        ("gated", "mean", True),
        ("gated", "attention", True),
        ("gated", "attention", False),
        ("attention", "gated", False),
        ("mean", "gated", False),
        ("mean", "gated", True),
    ],
)
def test_of_another_aggregation_the_trunk_alone_is_loaded(
    theirs: str, mine: str, named: bool, tmp_path: Path
) -> None:
    source = checkpoint(tmp_path / "w.pth", theirs, named=named)
    model, before = target(mine), target(mine).state_dict()
    report = load(model, tmp_path / "w.pth")
    assert same(model.backbone, source.backbone.state_dict())
    rest = {key: value for key, value in before.items() if not key.startswith("backbone.")}
    assert same(model, rest)
    why = f"the file's network aggregates by {theirs}, the model by {mine}"
    assert set(report.left) == set(rest)
    assert set(report.left.values()) == {why}
    assert not report.whole
    with pytest.raises(WeightsError, match=f"does not give this model its features.*{why}"):
        load(model, tmp_path / "w.pth", whole=True)


@pytest.mark.usefixtures("outside")
def test_a_network_starts_from_all_that_its_aggregation_says(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "w.pth", "mean", named=True)
    model = target("greatest")
    report = load(model, tmp_path / "w.pth")
    assert same(model, source.state_dict())
    assert (report.left, report.unused) == ({}, {})
    why = "the file's network aggregates by mean, the model by greatest"
    assert report.differs == why
    assert str(report).endswith(f" Only a starting point, with different features: {why}.")
    assert not report.whole, "a test of it would mean nothing"
    with pytest.raises(WeightsError, match="does not give this model its features"):
        load(model, tmp_path / "w.pth", whole=True)
    # Nor do facts of the file's use become the model's.
    assert model.entry is None


@pytest.mark.usefixtures("outside")
def test_a_start_from_another_aggregation_keeps_what_only_one_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = checkpoint(tmp_path / "w.pth", "mean", named=False)
    model, before = target("gated"), target("gated").state_dict()
    monkeypatch.setattr(type(model.aggregation), "starts_from", ("mean",), raising=False)
    report = load(model, tmp_path / "w.pth")
    assert same(model, source.state_dict())
    gates = {key: value for key, value in before.items() if key.startswith("aggregation.")}
    assert set(report.left) == set(gates) == {"aggregation.gate.weight", "aggregation.gate.bias"}
    assert same(model, gates)
    assert not report.whole


@pytest.mark.usefixtures("outside")
def test_the_index_says_how_a_file_without_facts_aggregates(tmp_path: Path) -> None:
    checkpoint(tmp_path / "w.pth", "greatest", named=False)
    source = Source(path=str(tmp_path / "w.pth"))
    add(WeightsEntry("small_frames.mars", (source,), aggregation="greatest"))
    assert load(target("greatest"), "small_frames.mars").whole
    report = load(target("mean"), "small_frames.mars")
    assert set(report.left.values()) == {
        "the file's network aggregates by greatest, the model by mean"
    }
    # Nor does an entry without it hide what the file says.
    checkpoint(tmp_path / "named.pth", "mean", named=True)
    source = Source(path=str(tmp_path / "named.pth"))
    add(WeightsEntry("small_frames.other", (source,)))
    assert load(target("greatest"), "small_frames.other").differs


@pytest.mark.usefixtures("outside")
def test_a_layout_says_how_its_networks_aggregate(tmp_path: Path) -> None:
    source = torchreid.models.build_model("vkd_resnet50", 4, pretrained=False).state_dict()
    theirs = {}
    for key, value in source.items():
        part, _, rest = key.partition(".")
        name = {"bottleneck": "classifier.bottleneck.", "classifier": "classifier.classifier."}
        if part == "backbone":
            stem = {"conv1": "0.0", "bn1": "0.1"} | {f"layer{n}": f"{n}.0" for n in (1, 2, 3, 4)}
            first, _, last = rest.partition(".")
            theirs[f"backbone.features_layers.{stem[first]}.{last}"] = value
        else:
            theirs[name[part] + rest] = value
    torch.save(theirs, tmp_path / "vkd.pth")
    build = partial(nr3d.models.ARCHITECTURES["vkd_resnet50"], 4, pretrained=False)
    assert load(build(), tmp_path / "vkd.pth").whole
    assert load(build(aggregation="greatest"), tmp_path / "vkd.pth").differs == (
        "the file's network aggregates by mean, the model by greatest"
    )


def test_weights_of_an_aggregation_that_nobody_registered_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    state = nr3d.models.VideoReID(18, 4, aggregation="mean").state_dict()
    facts = {"architecture": "nr3d_resnet18_ibn", "aggregation": "of_others"}
    write_checkpoint({"state_dict": state, "facts": facts}, tmp_path / "w.pth")
    words = ["weights", "export", str(tmp_path / "w.pth"), "--name", "nr3d_resnet18_ibn.x"]
    assert main([*words, "--out", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "of a network that aggregates by 'of_others', which is not known here" in message
    assert "Import the module that registers it first." in message


def test_an_index_may_hold_weights_of_aggregations_that_are_not_registered_here(
    tmp_path: Path,
) -> None:
    source = Source(path=str(tmp_path / "w.pth"))
    add(WeightsEntry("nr3d_resnet18_ibn.theirs", (source,), aggregation="of_others"))
    entry = nr3d.weights.find("nr3d_resnet18_ibn.theirs")
    assert entry.changes()["model.aggregation"] == "of_others"
    with pytest.raises(WeightsError, match=r"field aggregation is 'a b', expected a name such as"):
        add(WeightsEntry("nr3d_resnet18_ibn.other", (source,), aggregation="a b"))


def test_loading_draws_no_random_numbers(small_model: Build, tmp_path: Path) -> None:
    torch.save(small_model(8, aggregation="mean").state_dict(), tmp_path / "w.pth")
    model = small_model(8)
    before = torch.get_rng_state()
    load(model, tmp_path / "w.pth")
    assert torch.equal(torch.get_rng_state(), before)


# What `pretrained` takes


@pytest.fixture
def mine(small_model: Build, tmp_path: Path) -> nr3d.models.VideoReID:
    """A model whose weights are in the user's index as nr3d_resnet18_ibn.mars."""
    source = small_model(8, seed=4)
    torch.save(source.state_dict(), tmp_path / "mine.pth")
    add(
        WeightsEntry(
            "nr3d_resnet18_ibn.mars",
            (Source(path=str(tmp_path / "mine.pth")),),
            input_size=(96, 48),
            frames=3,
            feature="before",
        )
    )
    return source


@pytest.mark.parametrize("pretrained", ["mars", "nr3d_resnet18_ibn.mars"])
def test_a_tag_and_a_whole_name(mine: nr3d.models.VideoReID, pretrained: str) -> None:
    model = torchreid.models.build_model("nr3d_resnet18_ibn", 8, pretrained=pretrained)
    assert same(model, mine.state_dict())
    assert model.feature == "before"
    assert (model.entry.input_size, model.entry.frames) == ((96, 48), 3)
    mine.feature = "before"
    clips = torch.rand(2, 3, 3, 96, 48)
    with torch.no_grad():
        assert torch.equal(model.eval()(clips), mine.eval()(clips))


def test_a_trunk_from_an_entry_leaves_the_features_place(mine: nr3d.models.VideoReID) -> None:
    model = torchreid.models.build_model(
        "nr3d_resnet18_ibn", 8, pretrained="mars", aggregation="mean"
    )
    assert same(model.backbone, mine.backbone.state_dict())
    assert model.feature == "after"
    assert model.entry is None


def test_mars_for_the_papers_network_names_three_ways_on(own_index: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        torchreid.models.build_model("nr3d_resnet50_ibn", pretrained="mars")
    for part in (
        "No public weights nr3d_resnet50_ibn.mars are known",
        str(own_index),
        "nr3d train --config mars --root DIR",
        "nr3d weights add FILE --name nr3d_resnet50_ibn.mars",
        "vkd_resnet50.mars",
        "vkd_resnet101.mars",
        "build_model('vkd_resnet50', pretrained='mars')",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("pretrained", "words"),
    [
        ("duke", r"no weights nr3d_resnet18_ibn.duke, .*one of imagenet .*nr3d weights add FILE"),
        ("vkd_resnet50.marss", r"No weights are named 'vkd_resnet50.marss'. Did you mean vkd_"),
        ("gone.pth", "No checkpoint at gone.pth"),
        ("folder/gone", "No checkpoint at folder/gone"),
        (True, r"NR3D_OFFLINE"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(pretrained: str | bool, words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        torchreid.models.build_model("nr3d_resnet18_ibn", pretrained=pretrained)


def test_an_entry_of_another_layout_than_its_file_is_said(
    small_model: Build, tmp_path: Path
) -> None:
    torch.save(small_model(8).state_dict(), tmp_path / "mine.pth")
    source = Source(path=str(tmp_path / "mine.pth"))
    add(WeightsEntry("nr3d_resnet18_ibn.mars", (source,), layout="vkd"))
    with pytest.raises(WeightsError, match=r"has the layout nr3d, its entry .* says vkd"):
        torchreid.models.build_model("nr3d_resnet18_ibn", 8, pretrained="mars")
