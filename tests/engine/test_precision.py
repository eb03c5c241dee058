"""How a step is computed: number type, accumulation, layout; and what of it a checkpoint keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import nr3d
from nr3d.engine import StepOptions, VideoNot3DEngine
from nr3d.errors import Nr3dError
from nr3d.features import Precision
from nr3d.features import precision as module
from nr3d.weights import read_checkpoint
from tests.engine.test_engine import engine_of

Build = Callable[..., nr3d.models.VideoReID]
CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"avx2", "avx512f"}, "float32"),
        ({"avx2", "avx512_bf16"}, "bf16"),
        ({"amx_bf16"}, "bf16"),
        ({"asimd", "bf16"}, "bf16"),
    ],
)
def test_auto_is_bf16_where_the_processor_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], expected: str
) -> None:
    monkeypatch.setattr(module, "_processor_flags", lambda: frozenset(flags))
    assert Precision("auto", CPU).name == expected


def test_another_precision_is_refused() -> None:
    with pytest.raises(ValueError, match=r"train.precision is 'half', expected one of \['auto'"):
        Precision("half", CPU)
    with pytest.raises(ValueError, match="accumulation_steps is 0, expected 1 or more"):
        StepOptions(accumulation_steps=0)


def first_step(engine: VideoNot3DEngine) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Take a step; gives what it reports and the weights after it."""
    engine.set_model_mode("train")
    engine.epoch, engine.max_epoch, engine.batch_idx = 0, 1, 0
    batch = next(iter(engine.train_loader))
    return engine.forward_backward(batch), dict(engine.model.state_dict())


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_mixed_precision_is_near_float32_and_its_losses_are_float32(
    mars_root: Path, small_model: Build, name: str
) -> None:
    plain = engine_of(mars_root, small_model)
    exact, _ = first_step(plain)
    engine = engine_of(mars_root, small_model, step=StepOptions(precision=name))
    seen: list[torch.dtype] = []
    engine.criterion.register_forward_pre_hook(
        lambda _, inputs: seen.extend(x.dtype for x in inputs[:3])
    )
    found, weights = first_step(engine)
    assert seen == [torch.float32] * 3
    assert found["loss"] == pytest.approx(exact["loss"], rel=0.03)
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert {p.dtype for p in engine.model.parameters()} == {torch.float32}
    gradients = [e.model.classifier.weight.grad.flatten() for e in (plain, engine)]
    assert torch.cosine_similarity(*gradients, dim=0) > 0.95


def test_the_default_layout_changes_only_the_rounding(mars_root: Path, small_model: Build) -> None:
    exact, _ = first_step(engine_of(mars_root, small_model))
    engine = engine_of(mars_root, small_model, step=StepOptions(precision="float32"))
    kernel = engine.model.backbone.layer1[0].conv1.weight
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    found, _ = first_step(engine)
    assert found == pytest.approx(exact, rel=1e-3)


def test_accumulated_batches_make_one_step_of_their_mean_gradient(
    mars_root: Path, small_model: Build
) -> None:
    step = StepOptions(precision="float32", channels_last=False, accumulation_steps=3)
    engine = engine_of(mars_root, small_model, step=step)
    engine.set_model_mode("train")
    engine.epoch, engine.max_epoch = 0, 1
    batches = list(engine.train_loader)
    assert len(batches) == engine.num_batches == 4  # a step of three, and one of what is left

    model = small_model(8, 0).train()
    criterion = nr3d.losses.Not3DLoss(8, 512)
    criterion.load_state_dict(engine.criterion.state_dict())
    parts = []
    for engine.batch_idx, batch in enumerate(batches[:3]):
        before = engine.model.classifier.weight.detach().clone()
        engine.forward_backward(batch)
        stepped = not torch.equal(before, engine.model.classifier.weight.detach())
        assert stepped == (engine.batch_idx == 2)
        logits, features, scores = model(batch["img"])
        parts.append(criterion(logits, features, scores, batch["pid"], batch["erased"])[0])
    torch.stack(parts).mean().backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    for name, parameter in engine.model.named_parameters():
        expected = gradients[name]
        if expected is not None:
            assert parameter.grad is not None
            error = (parameter.grad - expected).norm()
            assert error <= 1e-3 * expected.norm() + 1e-6, name
    engine.batch_idx = 3
    before = engine.model.classifier.weight.detach().clone()
    engine.forward_backward(batches[3])
    assert not torch.equal(before, engine.model.classifier.weight.detach())


def test_a_checkpoint_resumes_in_another_layout(
    mars_root: Path, small_model: Build, tmp_path: Path
) -> None:
    """A fused step goes through weights and states in the order of the memory."""

    def fused(step: StepOptions) -> VideoNot3DEngine:
        engine = engine_of(mars_root, small_model, step=step)
        for group in engine.optimizer.param_groups:
            group["fused"] = True
        return engine

    plain = StepOptions(precision="float32", channels_last=False)
    one = fused(plain)
    one.run(save_dir=str(tmp_path), max_epoch=1, print_freq=0)
    other = fused(StepOptions(precision="float32"))
    other.resume(tmp_path / "model-last.pth.tar")
    for parameter, state in other.optimizer.state.items():
        assert state["exp_avg"].stride() == parameter.stride()
    for name, state in one.optimizer.state_dict()["state"].items():
        assert torch.equal(state["exp_avg"], other.optimizer.state_dict()["state"][name]["exp_avg"])


def test_fp16_keeps_its_loss_scale_in_the_checkpoint(
    mars_root: Path, small_model: Build, tmp_path: Path
) -> None:
    engine = engine_of(mars_root, small_model, step=StepOptions(precision="fp16"))
    first_step(engine)
    engine.precision.scaler.update(256.0)
    engine.save_model(0, None, str(tmp_path))
    assert read_checkpoint(tmp_path / "model-last.pth.tar")["scaler"]["scale"] == 256.0
    again = engine_of(mars_root, small_model, step=StepOptions(precision="fp16"))
    again.resume(tmp_path / "model-last.pth.tar")
    assert again.precision.scaler.get_scale() == 256.0


def test_a_checkpoint_of_another_run_says_what_differs(
    mars_root: Path, small_model: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config: dict[str, Any] = {"train": {"lr": 1e-3}, "data": {"save_dir": "a"}}
    engine = engine_of(mars_root, small_model)
    engine.config = config
    engine.save_model(0, None, str(tmp_path))
    path = tmp_path / "model-last.pth.tar"
    with pytest.raises(nr3d.errors.WeightsError, match=r"frames 2, here 4\): set these as they"):
        engine_of(mars_root, small_model, seq_len=4).resume(path)
    with pytest.raises(nr3d.errors.WeightsError, match=r"input_size \[32, 16\], here \[64, 32\]"):
        engine_of(mars_root, small_model, height=64, width=32).resume(path)
    again = engine_of(mars_root, small_model)
    again.config = {"train": {"lr": 1e-2}, "data": {"save_dir": "b"}}
    with caplog.at_level("WARNING", logger="nr3d"):
        again.resume(path)
    assert "is resumed with another configuration or other versions (train.lr 0.001, now 0.01)" in (
        caplog.text
    )


def test_a_loss_that_is_not_finite_names_the_batchs_tracklets(
    mars_root: Path, small_model: Build
) -> None:
    engine = engine_of(mars_root, small_model)
    with torch.no_grad():
        engine.model.classifier.weight.fill_(float("inf"))
    told = r"loss_id nan.*look at the batch's tracklets \(\d{4}/\d{4}C\dT\d{4}"
    with pytest.raises(Nr3dError, match=told):
        first_step(engine)


def test_weights_that_are_not_finite_go_into_no_checkpoint(
    mars_root: Path, small_model: Build, tmp_path: Path
) -> None:
    engine = engine_of(mars_root, small_model)
    first_step(engine)
    engine.save_model(0, None, str(tmp_path))
    before = (tmp_path / "model-last.pth.tar").read_bytes()
    neck, moments = engine.model.bottleneck, next(iter(engine.optimizer.state.values()))
    for tensor, name in (
        (neck.weight.data, "state_dict.bottleneck.weight"),
        (neck.running_var, "state_dict.bottleneck.running_var"),
        (engine.criterion.center.centers.data, "centers.centers"),
        (moments["exp_avg"], r"optimizer\.state\.0\.exp_avg"),
    ):
        kept = tensor.clone()
        tensor.view(-1)[-1] = float("nan")
        with pytest.raises(Nr3dError, match=rf"no longer finite \({name}\): lower train.lr"):
            engine.save_model(1, 0.9, str(tmp_path))
        tensor.copy_(kept)
    assert (tmp_path / "model-last.pth.tar").read_bytes() == before
    assert not (tmp_path / "model-best.pth.tar").exists()


def test_fp16_that_learns_nothing_is_refused(
    mars_root: Path, small_model: Build, tmp_path: Path
) -> None:
    engine = engine_of(mars_root, small_model, step=StepOptions(precision="fp16"))
    # Gradients that overflow whatever the loss is scaled by.
    engine.model.classifier.weight.register_hook(lambda grad: grad * float("inf"))
    engine.precision.scaler = torch.amp.GradScaler("cpu", init_scale=2**-10, backoff_factor=0.25)
    weights = engine.model.classifier.weight.detach().clone()
    with pytest.raises(Nr3dError, match=r"scale has fallen to .*set train.precision float32"):
        engine.run(save_dir=str(tmp_path), max_epoch=1, print_freq=0)
    assert torch.equal(engine.model.classifier.weight, weights)
    assert not (tmp_path / "model-last.pth.tar").exists()


@pytest.mark.slow
def test_the_compiled_trunk_is_the_trunk(mars_root: Path, small_model: Build) -> None:
    exact, _ = first_step(engine_of(mars_root, small_model))
    engine = engine_of(mars_root, small_model, step=StepOptions("float32", compile=True))
    keys = list(engine.model.state_dict())
    found, _ = first_step(engine)
    assert found == pytest.approx(exact, rel=1e-3)
    assert keys == list(small_model(8, 0).state_dict())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["auto", "fp16", "float32"])
def test_a_gpu_learns_in_each_precision(
    mars_root: Path, small_model: Build, tmp_path: Path, name: str
) -> None:
    engine = engine_of(mars_root, small_model, step=StepOptions(precision=name), workers=2)
    assert engine.device.type == "cuda"
    engine.run(save_dir=str(tmp_path), max_epoch=3, print_freq=0)
    losses = [r["loss"] for r in nr3d.engine.read_records(tmp_path) if r["kind"] == "epoch"]
    assert losses[-1] < losses[0]
