"""What `import nr3d` does to torchreid, in this process and in fresh ones."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
import torch

import nr3d
from nr3d.errors import RegistrationError
from nr3d.host import torchreid
from nr3d.models import ARCHITECTURES
from nr3d.registry import register_models, register_names


def fresh(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter that has imported nothing yet."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
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
