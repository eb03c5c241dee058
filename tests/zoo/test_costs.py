"""Costs of the networks: the paper's figures, and sums by hand."""

from __future__ import annotations

import pytest

from nr3d.models import ARCHITECTURES
from nr3d.zoo import costs_of, method_of, methods, rows_of

PAPERS = {
    "not3d": (76_173_377, "290.58", "171.92", "681.5"),
    "vprt": (76_173_377, "290.58", "153.92", "654.7"),
    "gltr": (24_766_001, "94.47", "214.11", "3420.4"),
    "m3d": (27_415_857, "104.58", "1213.83", "4420.1"),
}
"""Parameters, their MB, the paper's estimate, and the same for all frames of a clip."""


@pytest.mark.parametrize("key", PAPERS)
def test_the_papers_figures(key: str) -> None:
    (row,) = rows_of([method_of(key)])
    costs = row.costs
    found = (f"{costs.parameters_mib:.2f}", f"{costs.estimate_mib:.2f}")
    assert (costs.parameters, *found, f"{costs.activations_mib:.1f}") == PAPERS[key]


def test_the_artefacts_are_what_the_footnote_says() -> None:
    vprt, size = ARCHITECTURES["vprt_resnet50"], (4, 224, 112)
    plain, counted = costs_of(vprt, *size), costs_of(vprt, *size, counts="classifier")
    assert f"{plain.estimate_mib:.2f}" == "163.69"
    assert plain.estimate - counted.estimate == 2048 * 625
    assert f"{2048 * 625 * 8 / 2**20:.2f}" == "9.77"
    again = costs_of(vprt, *size, counts="trunk")
    assert again.estimate - plain.estimate == 2048 * 14 * 7
    m3d, gltr = (costs_of(ARCHITECTURES[f"{n}_resnet50"], 16, 256, 128) for n in ("m3d", "gltr"))
    # Ten outputs of each of five layers over time, of all 16 frames.
    over_time = 10 * 16 * (64 * 8192 + 64 * 2048 + 128 * 512 + 256 * 128 + 512 * 128)
    assert over_time * 8 / 2**20 == 1000
    of_attention = 3 * 256 * 16 + 3 * 512 * 16  # GLTR's non-local block, which M3D has not
    assert m3d.estimate - gltr.estimate == over_time - of_attention


def test_a_small_network_by_hand() -> None:
    small = costs_of(ARCHITECTURES["nr3d_resnet18"], 2, 32, 16, identities=10, aggregation="mean")
    maps = [(64, 16, 8)] * 3 + [(64, 8, 4)]  # the stem: convolution, norm, ReLU; its pooling
    for channels, rows, columns, downsampled in (
        *((64, 8, 4, False), (64, 8, 4, False), (128, 4, 2, True), (128, 4, 2, False)),
        *((256, 2, 1, True), (256, 2, 1, False), (512, 2, 1, True), (512, 2, 1, False)),
    ):
        outputs = 7 + 2 * downsampled  # two convolutions, norms, ReLUs, the sum; the shortcut
        maps += [(channels, rows, columns)] * outputs
    frame = sum(channels * rows * columns for channels, rows, columns in maps)
    head = 512 + 512 + 10  # pooled, normalised, logits
    assert (small.estimate, small.activations) == (frame + head, 2 * frame + head)
    assert small.parameters == 11_176_512 + 2 * 512 + 5_120
    taps = 64 * 3 * 49 * 16 * 8
    for inside, outside, rows, columns, downsampled in (
        *((64, 64, 8, 4, False), (64, 64, 8, 4, False), (64, 128, 4, 2, True)),
        *((128, 128, 4, 2, False), (128, 256, 2, 1, True), (256, 256, 2, 1, False)),
        *((256, 512, 2, 1, True), (512, 512, 2, 1, False)),
    ):
        taps += (9 * inside * outside + 9 * outside * outside) * rows * columns
        taps += downsampled * inside * outside * rows * columns
    assert small.multiply_adds == 2 * taps + 512 * 10


def test_every_method_is_complete() -> None:
    found = methods()
    assert [method.key for method in found] == [
        *("not3d", "vprt", "gltr", "m3d", "cosam", "scan_self", "vrstc_reid", "group_confidence"),
    ]
    for method in found:
        assert method.network == method.recipe.model.name
        assert method.small in ARCHITECTURES
        assert method.note
        for each in method.reported:
            assert 0 < each.rank1 < 1
            assert each.dataset in ("mars", "prid2011", "ilidsvid")
