"""What `import nr3d` does to torchreid, in this process and in fresh ones."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

import nr3d
from nr3d.errors import RegistrationError
from nr3d.host import torchreid
from nr3d.models import ARCHITECTURES
from nr3d.registry import register_models, register_names


def fresh(code: str, *words: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter that has imported nothing yet, with a folder first in its path."""
    path_before = os.environ.get("PYTHONPATH")
    folders = os.pathsep.join(filter(None, [str(path) if path else None, path_before]))
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": folders},
    )


def test_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    torchreid.models.show_avai_models()
    listed = capsys.readouterr().out
    for name in (
        "nr3d_resnet50_ibn",
        "nr3d_resnet18_ibn",
        "nr3d_resnet34_ibn",
        "nr3d_resnet101_ibn",
        "nr3d_resnet50",
        "nr3d_resnet18",
    ):
        assert f"'{name}'" in listed
    assert "'osnet_x1_0'" in listed


def test_build_model_defaults_to_marss_identities_for_ours() -> None:
    model = torchreid.models.build_model("nr3d_resnet18_ibn", pretrained=False)
    assert model.classifier.out_features == 625
    model = torchreid.models.build_model(
        name="nr3d_resnet18_ibn", num_classes=3, loss="triplet", pretrained=False, use_gpu=False
    )
    assert model.classifier.out_features == 3
    assert torchreid.models.build_model("nr3d_resnet18_ibn", 7, "softmax", False).loss == "softmax"


def test_build_model_is_as_before_for_the_others() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'num_classes'"):
        torchreid.models.build_model("osnet_x0_25")
    with pytest.raises(KeyError, match="Unknown model: nonsense"):
        torchreid.models.build_model("nonsense", 3)
    model = torchreid.models.build_model("osnet_x0_25", 3, pretrained=False)
    assert model.classifier.out_features == 3


def test_losses_engine_and_layer_are_where_torchreids_users_look() -> None:
    for name in ("RankedListLoss", "CenterLoss", "ErasingAttentionLoss", "Not3DLoss"):
        assert getattr(torchreid.losses, name) is getattr(nr3d.losses, name)
    assert torchreid.engine.VideoNot3DEngine is nr3d.engine.VideoNot3DEngine
    assert issubclass(nr3d.engine.VideoNot3DEngine, torchreid.engine.Engine)
    assert issubclass(nr3d.models.SpatialTemporalAttention, torch.nn.Module)


def test_a_name_taken_for_something_else_is_an_error_and_stays() -> None:
    with pytest.raises(RegistrationError, match="model 'resnet50' for something else"):
        register_models({"a_new_one": print, "resnet50": ARCHITECTURES["nr3d_resnet50"]})
    assert torchreid.models.build_model("resnet50", 2, pretrained=False).feature_dim == 2048
    with pytest.raises(KeyError, match="Unknown model"):
        torchreid.models.build_model("a_new_one", 3)
    before = torchreid.losses.TripletLoss
    with pytest.raises(RegistrationError, match=r"losses.TripletLoss for something else"):
        register_names(torchreid.losses, {"another": 1, "TripletLoss": nr3d.losses.CenterLoss})
    assert torchreid.losses.TripletLoss is before
    assert not hasattr(torchreid.losses, "another")


def test_nr3d_alone_is_a_map() -> None:
    done = fresh(
        """
        import sys
        import nr3d
        heavy = {"torch", "torchreid", "torchvision", "numpy", "scipy", "cv2", "yaml"}
        assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
        assert nr3d.__version__
        assert {"models", "data", "runs", "__version__"} <= set(dir(nr3d))
        assert nr3d.config.load_config("mars").train.lr == 3.5e-4
        assert "torch" not in sys.modules
        assert not hasattr(nr3d, "nonsense")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


ORDERS = """
import importlib, os, sys, traceback, warnings
# What takes its time, once for all.
import cv2, gdown, h5py, requests, scipy.sparse, torch, torchvision, tqdm
from torch.utils.tensorboard import SummaryWriter

failed = []
for name in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if name.startswith("torchreid"):
                warnings.simplefilter("ignore")  # which are torchreid's where it comes first
            for each in name.split("+"):
                importlib.import_module(each)
            import torchreid
            from torchreid import models
            models.build_model("nr3d_resnet18_ibn", 2, pretrained=False)
            assert torchreid.losses.RankedListLoss is sys.modules["nr3d.losses"].RankedListLoss
            engine = torchreid.engine.VideoNot3DEngine
            assert engine is sys.modules["nr3d.engine"].VideoNot3DEngine
            assert not [one for one in sys.meta_path if type(one).__module__ == "nr3d.registry"]
            code = 0
        except BaseException:
            print(name)
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(code)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
sys.exit(f"not registered: {failed}" if failed else 0)
"""


def test_registered_whichever_part_is_imported_first() -> None:
    rooms = [name for name in nr3d.__all__ if not name.startswith("_")]
    inner = ["host", "registry", "cli", "weights.loading", "data.manager", "engine.step"]
    names = ["nr3d", *(f"nr3d.{name}" for name in [*rooms, *inner])]
    done = fresh(ORDERS, *names, "torchreid+nr3d", "nr3d+torchreid", "nr3d.config+nr3d.features")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_object_that_arrives_in_a_fresh_process_registers(tmp_path: Path) -> None:
    """As a loader's worker gets it, where workers are not forked."""
    dataset = nr3d.data.TestTracklets([], nr3d.data.ClipTransform(32, 16), 2)
    (tmp_path / "sent.pkl").write_bytes(pickle.dumps(dataset))
    done = fresh(
        """
        import pickle, sys
        with open(sys.argv[1], "rb") as file:
            print(len(pickle.load(file)))
        import torchreid
        assert torchreid.engine.VideoNot3DEngine
        """,
        str(tmp_path / "sent.pkl"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


@pytest.mark.parametrize("order", ["nr3d, torchreid", "torchreid, nr3d"])
def test_a_torchreid_that_lacks_something_is_an_error_at_the_second_import(
    order: str, tmp_path: Path
) -> None:
    (tmp_path / "torchreid.py").write_text("models = losses = engine = None")
    done = fresh(
        f"""
        first, second = {order!r}.split(", ")
        __import__(first)
        for attempt in range(2):
            try:
                __import__(second)
            except Exception as error:
                print(type(error).__name__, error)
        """,
        path=tmp_path,
    )
    told = (
        f"RegistrationError The torchreid at {tmp_path / 'torchreid.py'} has no data, metrics, "
        "optim, utils: nr3d needs PyPI's torchreid 0.2.5 or upstream's 1.4.0. Run `pip install "
        "torchreid==0.2.5`.\n"
    )
    assert (done.stdout, done.stderr) == (2 * told, "")


def test_a_name_that_something_else_took_before_is_an_error_at_nr3ds_import() -> None:
    done = fresh(
        """
        import warnings
        warnings.simplefilter("ignore")
        import torchreid
        torchreid.losses.CenterLoss = dict
        try:
            import nr3d
        except Exception as error:
            print(type(error).__name__, error)
        """
    )
    assert done.stdout.startswith("RegistrationError torchreid already holds ")
    assert "losses.CenterLoss for something else (<class 'dict'>)" in done.stdout


def test_import_is_silent_and_idempotent() -> None:
    done = fresh(
        """
        import importlib, sys
        import nr3d
        import torchreid
        first = torchreid.models.build_model
        importlib.reload(nr3d)
        # Also when every module of it is imported anew.
        for name in [name for name in sys.modules if name.split('.')[0] == 'nr3d']:
            del sys.modules[name]
        import nr3d
        assert first.__wrapped__ is torchreid.models.build_model.__wrapped__, 'wrapped twice'
        assert torchreid.engine.VideoNot3DEngine is nr3d.engine.VideoNot3DEngine
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_user_code_in_the_readmes_words() -> None:
    done = fresh(
        """
        import nr3d
        import torchreid
        model = torchreid.models.build_model('nr3d_resnet18_ibn', pretrained=False)
        print(model.feature_dim)
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "512\n", "")


def test_heavy_optional_modules_are_not_imported() -> None:
    done = fresh(
        """
        import torchreid, sys
        packages = lambda: {name.split('.')[0] for name in sys.modules}
        before = packages()
        import nr3d
        new = packages() - before
        new = {name for name in new if not name.startswith('_')}
        print(sorted(new - set(sys.stdlib_module_names)))
        """
    )
    assert done.stdout == "['nr3d', 'yacs', 'yaml']\n"
