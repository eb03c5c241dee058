"""Configurations: what is shipped, and what a user may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from nr3d.config import (
    as_mapping,
    config_of,
    default_config,
    features_settings,
    leaves,
    load_config,
    shipped_configs,
)
from nr3d.errors import ConfigError


def test_shipped_configs() -> None:
    assert shipped_configs() == [
        "cosam",
        "gltr",
        "group_confidence",
        "ilidsvid",
        "ilidsvid_from_mars",
        "ilidsvid_from_mars_ilidsvid",
        "m3d",
        "mars",
        "mars_ilidsvid",
        "mars_paper",
        "mars_reference",
        "prid2011",
        "prid2011_from_mars",
        "prid2011_from_mars_ilidsvid",
        "scan_self",
        "synthetic",
        "vprt",
        "vrstc_reid",
    ]


@pytest.mark.parametrize("name", ["mars", "prid2011", "ilidsvid"])
def test_the_papers_recipe(name: str) -> None:
    cfg = load_config(name)
    assert cfg.data.sources == cfg.data.targets == [name]
    assert cfg.data.save_dir == f"log/{name}"
    assert cfg.model.name == "nr3d_resnet50_ibn"
    assert cfg.model.pretrained is True
    assert (cfg.data.height, cfg.data.width, cfg.video.seq_len) == (224, 112, 4)
    assert (cfg.train.batch_size, cfg.sampler.num_instances) == (64, 4)
    assert cfg.sampler.train_sampler == "RandomIdentitySampler"
    assert cfg.video.sample_method == "restricted"
    assert cfg.data.transforms == ["random_flip", "random_crop", "random_erase"]
    assert (cfg.train.optim, cfg.train.lr, cfg.train.weight_decay) == ("adam", 3.5e-4, 5e-4)
    assert (cfg.train.lr_scheduler, cfg.train.stepsize) == ("warmup_multi_step", [40, 70])
    assert (cfg.train.gamma, cfg.not3d.warmup_epochs, cfg.not3d.warmup_factor) == (0.1, 10, 0.01)
    assert (cfg.train.max_epoch, cfg.test.eval_freq) == (200, 10)
    assert (cfg.not3d.margin, cfg.not3d.alpha, cfg.not3d.temperature) == (1.3, 2.0, 1.0)
    assert (cfg.not3d.center_weight, cfg.not3d.center_lr) == (5e-4, 0.5)
    assert (cfg.loss.name, cfg.loss.softmax.label_smooth) == ("not3d", True)
    assert (cfg.not3d.center_reduction, cfg.video.pooling_method) == ("mean", "avg")
    assert cfg.not3d.test_sample_method == "dense"
    assert cfg.not3d.metric_loss == "ranked_list"


@pytest.mark.parametrize("name", shipped_configs())
def test_the_attention_keeps_learning_unless_the_name_says_otherwise(name: str) -> None:
    published = name in ("mars_paper", "mars_reference", "vprt")
    assert load_config(name).not3d.attention == ("paper" if published else "live")


def test_the_paper_differs_by_its_attention_alone() -> None:
    assert _differences("mars", "mars_paper") == {
        "data.save_dir": "log/mars_paper",
        "not3d.attention": "paper",
    }


def _differences(name: str, other: str) -> dict[str, object]:
    first, second = (dict(leaves(as_mapping(load_config(each)))) for each in (name, other))
    return {key: value for key, value in second.items() if value != first[key]}


def test_the_public_codes_recipe_differs_from_the_papers_in_what_it_names() -> None:
    assert _differences("mars_paper", "mars_reference") == {
        "data.save_dir": "log/mars_reference",
        "video.sample_method": "restricted_rest",
        "train.stepsize": [39, 69],
        "train.precision": "float32",
        "test.precision": "float32",
        "not3d.warmup_epochs": 9,
        "not3d.warmup_factor": 0.109,
        "not3d.attention_init": "kaiming",
        "not3d.epoch_over": "identities",
        "not3d.augment_per": "frame",
        "not3d.erase_value": "imagenet_mean",
        "not3d.erase_aspect_draw": "uniform",
        "not3d.erase_attempts": 1,
        "not3d.label_smoothing_over": "batch",
        "not3d.erasing_attention_reduction": "sum",
        "not3d.max_test_clips": 41,
    }


def test_a_key_is_known_by_its_former_name(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("base: mars\nnot3d:\n  aggregation: mean\n")
    stored = config_of({"not3d": {"aggregation": "mean"}})
    given = load_config("mars", ["not3d.aggregation", "mean"])
    for cfg in (load_config(tmp_path / "old.yaml"), stored, given):
        assert cfg.model.aggregation == "mean"
        assert "aggregation" not in cfg.not3d
    assert features_settings({"not3d": {"aggregation": "mean"}})["aggregation"] == "mean"
    twice = "not3d:\n  aggregation: mean\nmodel:\n  aggregation: attention\n"
    (tmp_path / "twice.yaml").write_text(twice)
    with pytest.raises(ConfigError, match=r"'model.aggregation' stands twice in .*twice.yaml"):
        load_config(tmp_path / "twice.yaml")


def test_changes_in_pythons_and_yamls_words() -> None:
    cfg = load_config(
        "mars",
        [
            *("train.lr", "1e-4", "data.sources", "[mars, ilidsvid]", "data.targets", "mars"),
            *("model.pretrained", "false", "test.rerank", "True", "train.stepsize", "[5,8]"),
            *("model.resume", "log/2024", "data.save_dir", "2024", "train.lr_scheduler", "none"),
            *("not3d.margin", "1", "test.eval_freq", "-1", "data.transforms", "[]"),
        ],
    )
    assert cfg.train.lr == 1e-4
    assert (cfg.data.sources, cfg.data.targets) == (["mars", "ilidsvid"], ["mars"])
    assert (cfg.model.pretrained, cfg.test.rerank, cfg.train.stepsize) == (False, True, [5, 8])
    assert (cfg.model.resume, cfg.data.save_dir) == ("log/2024", "2024")
    assert (cfg.train.lr_scheduler, cfg.not3d.margin) == ("none", 1.0)
    assert (cfg.test.eval_freq, cfg.data.transforms) == (-1, [])
    assert load_config("mars", ["model.pretrained", "a/file.pth"]).model.pretrained == "a/file.pth"


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("train:\n  lr: 5e-4\n  max_epoch: 3\ndata:\n  sources: prid2011\n")
    cfg = load_config(path)
    assert (cfg.train.lr, cfg.train.max_epoch, cfg.data.sources) == (5e-4, 3, ["prid2011"])
    assert cfg.data.height == 256  # torchreid's default, where the file says nothing
    path.write_text("")
    assert load_config(path) == default_config()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["train.lrr", "1"], r"Unknown key 'train.lrr' in the command line. Did you mean train.lr"),
        (["max_epoch", "1"], r"Unknown key 'max_epoch'.*Did you mean train.max_epoch"),
        (["train.lr.x", "1"], r"Unknown key 'train.lr.x'"),
        (["train", "1"], r"'train' in the command line is a section"),
        (["train.lr", "fast"], r"train.lr in the command line is 'fast', expected float"),
        (["train.max_epoch", "1.5"], r"train.max_epoch .* is 1.5, expected int such as 200"),
        (["train.max_epoch", "True"], r"train.max_epoch .* is True, expected int"),
        (["test.rerank", "1"], r"test.rerank .* is 1, expected bool"),
        (["train.stepsize", "[a]"], r"train.stepsize .* expected a list of int"),
        (["train.lr"], r"KEY VALUE pairs expected.*'train.lr'"),
    ],
)
def test_a_wrong_change_is_one_clear_line(changes: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("mars", changes)


def test_a_wrong_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No configuration 'nothing': give one of .* ilidsvid, "):
        load_config("nothing")
    path = tmp_path / "bad.yaml"
    path.write_text("train: [1")
    with pytest.raises(ConfigError, match=r"bad.yaml is not YAML"):
        load_config(path)
    path.write_text("- 1")
    with pytest.raises(ConfigError, match=r"bad.yaml holds a list"):
        load_config(path)
    path.write_text("train:\n  lr: [1]\n")
    with pytest.raises(ConfigError, match=r"train.lr in .*bad.yaml is \[1\], expected float"):
        load_config(path)


def test_a_loaded_configuration_is_frozen() -> None:
    with pytest.raises(AttributeError):
        load_config("mars").train.lr = 1.0


UPSTREAM = {
    "model.load_weights": "",
    "model.resume": "",
    "data.root": "reid-data",
    "data.workers": 4,
    "data.split_id": 0,
    "data.height": 256,
    "data.width": 128,
    "data.combineall": False,
    "data.transforms": ["random_flip"],
    "data.save_dir": "log",
    "sampler.train_sampler": "RandomSampler",
    "sampler.num_instances": 4,
    "video.seq_len": 15,
    "video.sample_method": "evenly",
    "video.pooling_method": "avg",
    "train.optim": "adam",
    "train.lr": 0.0003,
    "train.weight_decay": 5e-4,
    "train.max_epoch": 60,
    "train.batch_size": 32,
    "train.fixbase_epoch": 0,
    "train.open_layers": ["classifier"],
    "train.lr_scheduler": "single_step",
    "train.stepsize": [20],
    "train.gamma": 0.1,
    "train.print_freq": 20,
    "train.seed": 1,
    "test.dist_metric": "euclidean",
    "test.normalize_feature": False,
    "test.ranks": [1, 5, 10, 20],
    "test.eval_freq": -1,
    "test.start_eval": 0,
    "test.rerank": False,
    "test.visrank": False,
    "test.visrank_topk": 10,
}
"""torchreid's keys and defaults, from its own default configuration."""


@pytest.mark.parametrize("key", UPSTREAM)
def test_torchreids_keys_have_torchreids_defaults(key: str) -> None:
    section, name = key.split(".")
    assert default_config()[section][name] == UPSTREAM[key]
