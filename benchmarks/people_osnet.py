"""Convert an ONNX file of OSNet x0.25 into weights of torchreid's network.

    python benchmarks/people_osnet.py osnet_x0_25_msmt17.onnx osnet_x0_25_msmt17.pth

Then `nr3d test --weights osnet_x0_25_msmt17.pth` and `nr3d extract` take the file, with
model.name osnet_x0_25, data.height 256, data.width 128 and video.seq_len 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor, nn

from nr3d.host import torchreid
from nr3d.models import VideoReID, architecture_of
from nr3d.weights.loading import load_content

NAME = "osnet_x0_25"
INPUT = (256, 128)
"""Height and width that the network was trained and exported with, in pixels."""

TOLERANCE = 1e-3
"""Largest difference of a number of a feature, which rounding alone makes about 2e-5."""


def video_osnet(path: Path) -> tuple[VideoReID, float]:
    """Return OSNet x0.25 as a video model, with the weights of an ONNX file.

    Args:
        path: ONNX file, as for :func:`osnet_from_onnx`.

    Returns:
        tuple: the model in eval mode, and the difference that :func:`osnet_from_onnx` returns.
    """
    osnet, difference = osnet_from_onnx(path)
    model = architecture_of(NAME)(1, pretrained=False).eval()
    load_content(model, osnet.state_dict(), path, whole=True)
    return model, difference


def osnet_from_onnx(path: Path) -> tuple[nn.Module, float]:
    """Return torchreid's OSNet x0.25 with the weights of an ONNX file, and its difference from it.

    The export folded each batch norm into the convolution before it: the convolution keeps the
    folded weight, and the norm adds the folded bias and nothing else. The names of the exported
    layers are the paths of torchreid's modules. The network and OpenCV's reading of the file then
    compute the features of a random image, which may differ by rounding only.

    Args:
        path: ONNX file of OSNet x0.25, exported by PyTorch from torchreid's network.

    Returns:
        tuple: the network in eval mode, and the largest difference of its features from OpenCV's.

    Raises:
        SystemExit: if the package onnx is missing, the file cannot be read, or it holds another
            network.
    """
    try:
        import onnx
    except ImportError as error:
        raise SystemExit(
            "--osnet needs the package onnx: pip install 'nr3d[benchmarks]', or pip install onnx."
        ) from error
    try:
        graph = onnx.load(path).graph
    # Protobuf and onnx raise errors of many kinds for a file that is not what it should be.
    except Exception as error:
        raise SystemExit(f"{path} cannot be read as an ONNX file: {error}") from error
    network = torchreid.models.build_model(NAME, 1, pretrained=False).eval()
    _fill(network, _tensors(graph), path)
    image = torch.randn(1, 3, *INPUT, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        own = network(image)
    theirs = cv2.dnn.readNetFromONNX(str(path))
    theirs.setInput(image.numpy())
    difference = float((own - torch.from_numpy(theirs.forward())).abs().max())
    if not difference < TOLERANCE:
        raise SystemExit(
            f"{path} is another network than torchreid's {NAME}: with its weights, their features "
            f"differ by {difference:.2g}, expected less than {TOLERANCE:g}."
        )
    return network, difference


def _tensors(graph: Any) -> dict[str, Tensor]:
    """Return the tensors of a graph by the names that torchreid's modules give them."""
    from onnx import numpy_helper

    held = {each.name: torch.tensor(numpy_helper.to_array(each)) for each in graph.initializer}
    for node in graph.node:
        # Equal tensors are held once.
        if node.op_type == "Identity" and node.input[0] in held:
            held[node.output[0]] = held[node.input[0]]
    named = dict(held)
    for node in graph.node:
        # Tensors that the export changed have numbers instead of names.
        if node.op_type == "Conv":
            layer = _module_of(node.name)
            for kind, name in zip(("weight", "bias"), node.input[1:], strict=False):
                if name in held:
                    named[f"{layer}.{kind}"] = held[name]
    return named


def _module_of(node: str) -> str:
    """Return the path of the module that made a node.

    Examples:
        >>> _module_of("/conv2/conv2.0/conv2b/conv2b.1/conv2/Conv")
        'conv2.0.conv2b.1.conv2'
    """
    path: list[str] = []
    for part in node.strip("/").split("/")[:-1]:
        # A module of a sequence repeats the name of the sequence.
        if path and part.startswith(f"{path[-1]}."):
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path)


def _fill(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load tensors into a network, the norms after folded convolutions included."""
    state = network.state_dict()
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            above = name.rpartition(".")[0]
            folded = f"{above}.conv" if f"{above}.conv.weight" in state else f"{above}.conv2"
            # With this variance, the norm divides by 1.
            state[f"{name}.running_var"].fill_(1 - module.eps)
            if f"{folded}.bias" in tensors:
                tensors[f"{name}.bias"] = tensors[f"{folded}.bias"]
    norms = (".bn.weight", ".bn.running_mean", ".bn.running_var", ".num_batches_tracked")
    for key, value in state.items():
        if key.startswith("classifier.") or key.endswith(norms):
            continue
        found = tensors.get(key)
        if found is None or found.shape != value.shape:
            held = "no such tensor" if found is None else f"one of shape {tuple(found.shape)}"
            raise SystemExit(
                f"{path} is another network than torchreid's {NAME}: for {key} of shape "
                f"{tuple(value.shape)} it has {held}."
            )
        value.copy_(found)
    network.load_state_dict(state)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("onnx", type=Path, help="ONNX file of OSNet x0.25")
    parser.add_argument("out", type=Path, help="file to write, for torch.save")
    args = parser.parse_args()
    osnet, difference = osnet_from_onnx(args.onnx)
    torch.save(osnet.state_dict(), args.out)
    print(f"{args.out}: its features differ from the ONNX file's by at most {difference:.1e}")


if __name__ == "__main__":
    main()
