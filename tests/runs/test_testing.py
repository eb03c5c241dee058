"""Tests of weights and of features heed the keys of the ranking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from nr3d.config import Command, load_config
from nr3d.engine import TestOptions, judge
from nr3d.features import FeatureStore, FeatureWriter, Origin, Row
from nr3d.runs.testing import evaluate_features, evaluate_weights
from tests.conftest import used
from tests.runs.conftest import changes


def distances(root: Path, out: Path, *more: str) -> npt.NDArray[np.float32]:
    """Return the finite distances by which an untrained network ranks."""
    words = used(Command.TEST, changes(root, out, *more))
    found = evaluate_weights(load_config("mars", words)).distances["mars"]
    return found[np.isfinite(found)]


def test_a_test_of_weights_ranks_as_the_configuration_says(mars_root: Path, tmp_path: Path) -> None:
    plain = distances(mars_root, tmp_path)
    assert plain.max() > 4.1
    cosine = distances(mars_root, tmp_path, "test.dist_metric", "cosine")
    assert cosine.max() <= 2.001
    unit = distances(mars_root, tmp_path, "test.normalize_feature", "True")
    np.testing.assert_allclose(unit, 2 * cosine, atol=1e-3)  # ‖a - b‖² = 2 - 2 a·b
    again = distances(mars_root, tmp_path, "test.rerank", "True")
    assert not np.allclose(again, plain)
    assert not (tmp_path / "visrank_mars").exists()
    assert again.max() <= 1.001  # three tenths of it are the distance, in shares of the largest


def test_the_pictures_of_a_test_are_as_the_configuration_says(
    mars_root: Path, tmp_path: Path
) -> None:
    def page(out: Path, *more: str) -> Image.Image:
        distances(mars_root, out, "test.visrank", "True", *more)
        return Image.open(out / "visrank_mars" / "ranking_001.png")

    # Of the gallery's eight tracklets seven are left for each query.
    with page(tmp_path / "ten") as ten, page(tmp_path / "two", "test.visrank_topk", "2") as two:
        assert two.width < 0.6 * ten.width


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Features whose lengths say nothing of the person, and hide what their directions say."""
    rng = np.random.default_rng(0)
    path = tmp_path / "features.h5"
    origin = Origin(
        dataset="mars",
        weights="model.pth",
        weights_sha256="ab" * 32,
        settings={"precision": "float32"},
        config={"data": {"targets": ["mars"]}},
        versions={},
        tracklets={"train": 0, "query": 12, "gallery": 12},
    )
    with FeatureWriter(path, origin, ("query", "gallery")) as writer:
        for camid, split in enumerate(("query", "gallery")):
            for pid in range(12):
                direction = np.eye(12)[pid] + rng.normal(0, 0.2, 12)
                writer.append(
                    Row(
                        split=split,
                        index=pid,
                        pid=pid,
                        camid=camid,
                        name=f"{pid}.jpg",
                        feature=(direction * 10 ** rng.uniform(-1, 1)).astype(np.float32),
                        clips=1,
                        frame_weights=np.ones(4, np.float32),
                    )
                )
        writer.finish()
    assert FeatureStore(path).counts == {"query": 12, "gallery": 12}
    return path


def test_a_test_of_features_ranks_as_the_configuration_says(store: Path) -> None:
    def figures(*more: str) -> dict[str, float]:
        result = evaluate_features(store, more)["torchreid"]
        return {"mAP": result.mAP} | {f"rank-{r}": x for r, x in result.ranks.items()}

    plain = figures()
    assert plain["rank-1"] < 0.8
    assert list(plain) == ["mAP", "rank-1", "rank-5", "rank-10", "rank-20"]
    for same in (("test.dist_metric", "cosine"), ("test.normalize_feature", "True")):
        assert figures(*same)["rank-1"] == 1
    assert figures("test.rerank", "True") != plain
    assert list(figures("test.ranks", "[2,3]")) == ["mAP", "rank-1", "rank-2", "rank-3"]


def test_torchreids_evaluator_is_the_one_that_evaluates(store: Path) -> None:
    found = [
        evaluate_features(store, ("test.evaluator", name))["torchreid"]
        for name in ("nr3d", "torchreid")
    ]
    assert found[0].mAP == pytest.approx(found[1].mAP, abs=1e-6)
    assert found[0].mINP is not None
    assert found[1].mINP is None  # which torchreid does not know


def test_distances_that_take_more_than_the_memory_are_not_kept(store: Path) -> None:
    query, gallery = (FeatureStore(store).load(split) for split in ("query", "gallery"))
    for memory, kept in ((12 * 12 * 4, True), (12 * 12 * 4 - 1, False)):
        found = judge("mars", query, gallery, ranks=[1], options=TestOptions(memory=memory))
        assert (found.distances is not None) == kept
