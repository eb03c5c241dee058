"""Co-segmentation: what the frames of a clip have in common."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CoSegmentation(nn.Module):
    r"""Mask the locations, and gate the channels, that the frames of a clip agree on.

    .. math::
        d = \mathrm{norm}(\mathrm{ReLU}(\mathrm{BN}(W_1 F))), \quad
        r_{t,p} = \Big[ \tfrac{1}{256} \, d_{t,p} \cdot d_{s,q} \Big]_{s \ne t, \, q}, \quad
        m = \sigma(W_3 \, \mathrm{ReLU}(\mathrm{BN}(W_2 \, r))), \quad F' = m \odot F

    .. math::
        a_t = \sigma(W_5 \tanh(W_4 \, \mathrm{GAP}(F'_t))), \quad
        F'' = F' + F' \odot \tfrac{1}{T} \sum_t a_t

    norm subtracts from each location's descriptor its mean over the channels, and divides by their
    standard deviation plus 0.0001.

    Reference:
        Subramaniam, Nambiar and Mittal. Co-Segmentation Inspired Attention Networks for
        Video-Based Person Re-Identification. ICCV 2019.

    Args:
        channels: C, the number of channels. Paper: 1024 and 2048.
        frames: T, the number of frames of a clip, at least 2. Paper: 4.
        map_size: h and w, the size of the maps. Paper: (16, 8).
        descriptor: the number of channels of a location's descriptor, and of the gate's hidden
            layer. Paper: 256.

    Shape:
        - Input: maps of all frames :math:`(B T, C, h, w)`, and T
        - Output: :math:`(B T, C, h, w)`

    Raises:
        ValueError: if ``frames`` is below 2; in forward, if T or the size of the maps is another.

    Examples:
        >>> layer = CoSegmentation(32, frames=2, map_size=(4, 2))
        >>> layer(torch.rand(6, 32, 4, 2), 2).shape
        torch.Size([6, 32, 4, 2])
    """

    def __init__(
        self, channels: int, frames: int, map_size: tuple[int, int], descriptor: int = 256
    ) -> None:
        if frames < 2:
            raise ValueError(
                f"frames is {frames}, expected at least 2: co-segmentation compares the frames of "
                "a clip"
            )
        super().__init__()
        self.frames = frames
        self.map_size = map_size
        rows, columns = map_size
        self.describe = nn.Sequential(
            nn.Conv2d(channels, descriptor, 1), nn.BatchNorm2d(descriptor), nn.ReLU(inplace=True)
        )
        self.mask = nn.Sequential(
            nn.Conv2d((frames - 1) * rows * columns, 64, 1),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.Conv2d(64, 1, 1),
            nn.Sigmoid(),
        )
        self.gate = nn.Sequential(
            nn.Linear(channels, descriptor),
            nn.Tanh(),
            nn.Linear(descriptor, channels),
            nn.Sigmoid(),
        )
        others = [[s for s in range(frames) if s != t] for t in range(frames)]
        self.register_buffer("others", torch.tensor(others), persistent=False)  # (T, T - 1)

    def forward(self, maps: Tensor, frames: int) -> Tensor:
        """Attend to what the frames of each clip have in common."""
        if frames != self.frames or maps.shape[2:] != self.map_size:
            raise ValueError(self._misfit(frames, maps.shape[2:]))
        clips = maps.view(-1, frames, *maps.shape[1:])  # (B, T, C, h, w)
        masked = maps * self.mask(self.agreement(maps, frames))  # (B·T, C, h, w)
        gates = self.gate(masked.mean(dim=(2, 3))).view(*clips.shape[:3]).mean(dim=1)  # (B, C)
        gated: Tensor = masked + masked * gates.repeat_interleave(frames, 0)[:, :, None, None]
        return gated

    def agreement(self, maps: Tensor, frames: int) -> Tensor:
        """Return each location's correlations with those of the clip's other frames.

        Args:
            maps: maps of all frames, (B·T, C, h, w).
            frames: T.

        Returns:
            Tensor: (B·T, (T - 1)·h·w, h, w), in the order of frames, rows and columns.
        """
        found = self.describe(maps).flatten(2)  # (B·T, 256, h·w)
        spread, mean = torch.std_mean(found, dim=1, keepdim=True)
        found = ((found - mean) / (spread + 1e-4)).view(-1, frames, *found.shape[1:])
        others = found[:, self.others]  # (B, T, T - 1, 256, h·w)
        alike: Tensor = torch.einsum("btcp,btscq->btsqp", found, others) / found.shape[2]
        return alike.reshape(len(maps), -1, *maps.shape[2:])

    def _misfit(self, frames: int, size: torch.Size) -> str:
        rows, columns = self.map_size
        return (
            f"clips have {frames} frames and maps of {size[0]}×{size[1]}, expected {self.frames} "
            f"frames and {rows}×{columns} (images of {16 * rows}×{16 * columns} pixels), for which "
            "the co-segmentation was built: set video.seq_len, data.height and data.width, or "
            "build it for these (frames=, frame_size=)"
        )
