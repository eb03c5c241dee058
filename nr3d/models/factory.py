"""The models by name, as torchreid's model factory calls them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nr3d.models.video_reid import MARS_IDENTITIES, VideoReID
from nr3d.weights import load_pretrained


@dataclass(frozen=True)
class Architecture:
    """A registered network: its trunk and what is known of it."""

    name: str
    depth: int
    ibn: bool
    parameters: int
    """Parameters with 625 identities and its own aggregation."""
    summary: str
    aggregation: str = "attention"
    feature: str = "after"
    last_relu: bool = True

    def __call__(
        self,
        num_classes: int = MARS_IDENTITIES,
        loss: str = "softmax",
        pretrained: bool | str | Path = True,
        use_gpu: bool = True,
        aggregation: str | None = None,
    ) -> VideoReID:
        """Build the network.

        Args:
            num_classes: K, identities to classify in training. Default is 625, MARS's.
            loss: ``'softmax'``, ``'triplet'`` or ``'not3d'``; what training mode returns.
            pretrained: ``True`` loads the trunk's ImageNet weights, a tag such as ``'mars'`` or a
                whole name such as ``'vkd_resnet50.mars'`` those of the index, a path that file;
                ``False`` leaves the network as initialised.
            use_gpu: torchreid passes it; a network is always built on the CPU.
            aggregation: ``'attention'`` or ``'mean'``; default is the network's own.

        Raises:
            KeyError: for an unknown ``loss`` or ``aggregation``; the message lists the choices.
            WeightsError: if the weights cannot be found, downloaded, verified or loaded.
        """
        model = VideoReID(
            self.depth,
            num_classes,
            loss,
            self.ibn,
            self.aggregation if aggregation is None else aggregation,
            self.feature,
            self.last_relu,
        )
        model.architecture = self.name
        load_pretrained(model, self.name, pretrained)
        return model


ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        Architecture("nr3d_resnet50_ibn", 50, True, 76_173_377, "ResNet-50-IBN-a, the paper's"),
        Architecture("nr3d_resnet18_ibn", 18, True, 24_343_617, "ResNet-18-IBN-a, small and fast"),
        Architecture("nr3d_resnet34_ibn", 34, True, 34_451_777, "ResNet-34-IBN-a"),
        Architecture("nr3d_resnet101_ibn", 101, True, 95_165_505, "ResNet-101-IBN-a, the deepest"),
        Architecture(
            "nr3d_resnet50", 50, False, 76_173_377, "ResNet-50 without IBN, for comparison"
        ),
        Architecture(
            "nr3d_resnet18", 18, False, 24_343_617, "ResNet-18 without IBN, for comparison"
        ),
        *(
            Architecture(
                f"vkd_resnet{depth}",
                depth,
                False,
                parameters,
                f"VKD's ResNet-{depth}, mean over frames; has MARS weights",
                aggregation="mean",
                feature="before",
                last_relu=False,
            )
            for depth, parameters in ((50, 24_792_128), (101, 43_784_256))
        ),
    )
}
