"""What a machine lacks is one line that says what to set, and costs no checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import nr3d
from nr3d.cli import main
from nr3d.engine import StepOptions, TestOptions, VideoNot3DEngine
from nr3d.errors import Nr3dError
from nr3d.features import InferenceOptions, resources
from nr3d.weights import read_checkpoint
from tests.engine.test_engine import engine_of, stock_data_of

Build = Callable[..., nr3d.models.VideoReID]

SHORT = [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nGPU 0 has"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


def failing_after(good: int, error: BaseException) -> Callable[..., None]:
    """A hook that lets some passes go and then raises."""
    passes = iter(range(good))

    def hook(*_: object) -> None:
        if next(passes, None) is None:
            raise error

    return hook


def test_a_step_without_memory_is_one_line_and_the_last_checkpoint_stays(
    mars_root: Path, small_model: Build, tmp_path: Path
) -> None:
    engine = engine_of(mars_root, small_model)
    engine.save_model(0, None, str(tmp_path))
    engine.model.backbone.register_forward_pre_hook(failing_after(1, SHORT[0]))
    with pytest.raises(Nr3dError) as found:
        engine.run(save_dir=str(tmp_path), start_epoch=1, max_epoch=3, print_freq=0)
    message = str(found.value)
    for part in ("memory is too small", "train.batch_size lower", "accumulation_steps", "resume"):
        assert part in message
    assert "\n" not in message
    assert read_checkpoint(tmp_path / "model-last.pth.tar")["epoch"] == 1


@pytest.mark.parametrize("error", SHORT, ids=lambda error: type(error).__name__)
def test_a_test_without_memory_names_its_batch_size(
    mars_root: Path, small_model: Build, error: BaseException
) -> None:
    engine = engine_of(mars_root, small_model)
    engine.model.backbone.register_forward_pre_hook(failing_after(0, error))
    with pytest.raises(Nr3dError, match=r"The memory is too small .*: set test.batch_size lower\."):
        engine.test()


def test_other_errors_are_not_taken_for_these(mars_root: Path, small_model: Build) -> None:
    engine = engine_of(mars_root, small_model)
    mismatch = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    engine.model.backbone.register_forward_pre_hook(failing_after(0, mismatch))
    with pytest.raises(RuntimeError, match="mat1") as found:
        engine.test()
    assert found.value is mismatch


@pytest.fixture
def no_compiler() -> Iterator[None]:
    import torch._inductor.config as inductor

    torch._dynamo.reset()
    resources._compile_something.cache_clear()  # it has worked in an earlier test
    with inductor.patch({"cpp.cxx": (None, "/nonexistent/c++")}):
        yield


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_compiling_is_refused_before_the_run(
    mars_root: Path, small_model: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config", "synthetic", "--root", str(mars_root), "data.save_dir", str(tmp_path)]
    words += ["model.pretrained", "False", "data.height", "32", "data.width", "16"]
    words += ["train.batch_size", "8", "sampler.num_instances", "2", "data.workers", "0"]
    for key, *option in (("train.compile", "--dry-run"), ("test.compile",)):
        assert main(["train", *option, *words, key, "True"]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith(f"nr3d: error: {key} is on, and torch.compile does not work")
        assert error.endswith(f"install a C++ compiler such as g++, or set {key} False.")
    assert not (tmp_path / "model-last.pth.tar").exists()
    options = TestOptions(InferenceOptions("float32", compile=True))
    engine = engine_of(mars_root, small_model)
    for arguments in ({"options": StepOptions(compile=True)}, {"test_options": options}):
        with pytest.raises(Nr3dError, match=r"(train|test)\.compile is on"):
            VideoNot3DEngine(
                engine.datamanager,
                engine.model,
                engine.optimizer,
                **arguments,  # type: ignore[arg-type]
            )


@pytest.mark.usefixtures("no_compiler")
def test_a_compiler_that_fails_in_the_run_is_one_line(mars_root: Path, small_model: Build) -> None:
    engine = engine_of(mars_root, small_model)
    engine.model.backbone.aggregate = torch.compile(lambda x: 3 * x + 1)
    engine.model.backbone.register_forward_hook(
        lambda module, _, maps: module.aggregate(maps)  # what the trunk's own would raise
    )
    with pytest.raises(Nr3dError, match=r"train.compile is on, .*No working C\+\+ compiler"):
        engine.run(max_epoch=1, print_freq=0)


def test_a_batch_of_a_single_clip_is_one_line(
    mars_root: Path, small_model: Build, tmp_path: Path
) -> None:
    data = stock_data_of(mars_root, batch_size_train=1, train_sampler="SequentialSampler")
    model = small_model(data.num_train_pids)
    engine = VideoNot3DEngine(data, model, torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(Nr3dError, match=r"A batch has a single clip, .*two clips or more"):
        engine.run(save_dir=str(tmp_path), max_epoch=1)
