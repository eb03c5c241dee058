"""What registries take and refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import nr3d
from nr3d.config import load_config
from nr3d.errors import ConfigError, RegistrationError
from nr3d.host import torchreid
from nr3d.models import (
    AGGREGATIONS,
    ARCHITECTURES,
    TRUNKS,
    ClipFeatures,
    FrameTrunk,
    MeanAggregation,
    SpatialTemporalAttention,
    VideoReID,
    register_aggregation,
    register_architecture,
    register_trunk,
)
from nr3d.models.registered import Registered
from nr3d.runs import configuration
from nr3d.runs.transfer import Plan, load_plan
from nr3d.weights import LAYOUTS, Layout, register_layout


def test_the_parts_of_the_package_are_registered() -> None:
    assert set(AGGREGATIONS) == {
        *("attention", "live_attention", "mean"),
        *("gltr", "temporal_pyramid", "scan_self", "group_confidence"),
    }
    assert AGGREGATIONS["attention"] is SpatialTemporalAttention
    assert set(TRUNKS) == {
        "resnet",
        "resnet_m3d",
        "resnet_co_segmentation",
        "resnet_non_local",
        "torchreid",
    }
    assert TRUNKS["resnet"] is FrameTrunk
    assert set(LAYOUTS) == {
        *("nr3d", "torchvision", "not3d", "vprt", "vkd"),
        *("gltr", "m3d", "cosam", "nvan"),
    }
    assert next(iter(ARCHITECTURES)) == "nr3d_resnet50_ibn"


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_every_network_has_a_recipe_of_its_own_kind(name: str) -> None:
    if name.startswith("vkd_"):
        assert not ARCHITECTURES[name].recipe  # its training distils networks, which nr3d does not
        return
    cfg = load_config(ARCHITECTURES[name].recipe)
    configuration.check(cfg)
    assert cfg.model.name.rpartition("_resnet")[0] == name.rpartition("_resnet")[0]


def test_a_name_is_given_once_but_to_another_version_of_the_same_class() -> None:
    names: Registered[object] = Registered("thing")

    def version() -> type:
        class Thing:
            pass

        return Thing

    one, other = version(), version()
    names.add("a", one)
    names.add("a", other)
    assert names["a"] is other
    with pytest.raises(RegistrationError, match="already is a registered thing 'a'"):
        names.add("a", nn.Linear)
    assert names["a"] is other


def test_what_a_follower_refuses_is_not_registered() -> None:
    names: Registered[int] = Registered("number")
    names.add("one", 1)
    seen: list[list[str]] = []

    def follower(numbers: object) -> None:
        seen.append(list(names))
        if "bad" in names:
            raise ValueError("bad")

    names.follow(follower)
    names.follow(follower)
    names.add("two", 2)
    with pytest.raises(ValueError, match="bad"):
        names.add("bad", 3)
    assert list(names) == ["one", "two"]
    assert seen == [["one"], ["one"], ["one", "two"], ["one", "two", "bad"]]


@pytest.mark.parametrize("name", ["default", "", "with space", "a.b", "x" * 101])
def test_a_name_that_cannot_be_an_aggregations_is_refused(name: str) -> None:
    with pytest.raises(RegistrationError, match="cannot be the name of an aggregation"):
        register_aggregation(name)


def test_names_of_others_are_refused() -> None:
    with pytest.raises(RegistrationError, match="already is a registered aggregation 'mean'"):
        register_aggregation("mean")(nn.Identity)
    with pytest.raises(RegistrationError, match="is registered as 'mean' already"):
        register_aggregation("even")(MeanAggregation)
    with pytest.raises(RegistrationError, match="already is a registered trunk 'resnet'"):
        register_trunk("resnet")(nn.Identity)
    with pytest.raises(RegistrationError, match="already is a registered architecture"):
        register_architecture("nr3d_resnet18", "resnet", {"depth": 34})
    with pytest.raises(RegistrationError, match="torchreid already holds model 'osnet_x1_0'"):
        register_architecture("osnet_x1_0", "resnet", {"depth": 18})
    assert "osnet_x1_0" not in ARCHITECTURES
    with pytest.raises(RegistrationError, match="cannot be the name of an architecture"):
        register_architecture("my.net", "resnet", {"depth": 18})
    with pytest.raises(RegistrationError, match="already is a layout 'vkd'"):
        register_layout(Layout("vkd", "others", ("a",), ()))
    assert LAYOUTS["vkd"].last_relu is False


def test_a_class_derived_from_a_registered_one_does_not_have_its_name() -> None:
    class Mine(SpatialTemporalAttention):
        pass

    model = VideoReID(18, 4)
    assert model.aggregation_name == "attention"
    model.aggregation = Mine(512)
    assert model.aggregation_name is None
    assert model.layers_on_maps() == [model.aggregation.spatial]


@pytest.mark.usefixtures("outside")
def test_torchreid_and_the_configuration_know_what_was_registered() -> None:
    model = torchreid.models.build_model("small_clips", pretrained=False)
    assert isinstance(model, VideoReID)
    assert (model.architecture, model.frame_wise) == ("small_clips", False)
    assert model.classifier.out_features == 625
    assert VideoReID(18, aggregation="greatest").frame_wise
    configuration.check(
        load_config("mars", ["model.aggregation", "gated", "model.name", "small_clips"])
    )
    known = "expected one of default, attention, .*mean, .*gltr, greatest, gated"
    with pytest.raises(ConfigError, match=f"model.aggregation is 'max', {known}"):
        configuration.check(load_config("mars", ["model.aggregation", "max"]))


@pytest.mark.usefixtures("outside")
def test_a_transfer_goes_between_networks_of_the_same_trunk(tmp_path: Path) -> None:
    def plan(name: str, before: str) -> Plan:
        first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
        first.write_text(f"base: mars\nmodel: {{name: {before}}}\n")
        second.write_text(f"base: mars\nmodel: {{name: {name}}}\ntransfer: {{config: {first}}}\n")
        return load_plan(second)

    # The same tensors: in the first case further apart in time.
    assert plan("small_clips", "small_halves").first is not None
    assert plan("nr3d_resnet50", "vkd_resnet50").first is not None
    for name, before in (("small_clips", "small_frames"), ("nr3d_resnet50", "nr3d_resnet50_ibn")):
        with pytest.raises(ConfigError, match="whose weights do not fit it"):
            plan(name, before)


@pytest.mark.parametrize("options", [{}, {"depth": 18, "trunk": nn.Identity()}])
def test_a_network_has_one_trunk(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected one of them"):
        VideoReID(num_classes=3, **options)


def test_weights_of_fewer_places_in_time_are_spread_over_the_frames() -> None:
    weights = torch.tensor([[0.2, 0.5, 0.3]])
    scores = torch.tensor([[1.0, 2.0, 3.0]])
    found = ClipFeatures(torch.zeros(1, 4), scores, weights).over_frames(6)
    torch.testing.assert_close(found.weights, weights.repeat_interleave(2, 1) / 2)
    torch.testing.assert_close(found.scores, scores.repeat_interleave(2, 1))
    uneven: Tensor = ClipFeatures(torch.zeros(1, 4), scores, weights).over_frames(4).weights
    assert uneven.shape == (1, 4)
    torch.testing.assert_close(uneven.sum(), torch.tensor(1.0))
    assert nr3d.models.ClipFeatures is ClipFeatures
