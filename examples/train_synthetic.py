"""Train and test a small model on a synthetic dataset, with torchreid's own words.

python examples/train_synthetic.py FOLDER
"""

from __future__ import annotations

import sys

import torchreid

import nr3d
from nr3d.synthetic import write_mars


def main(folder: str, identities: int = 32, max_epoch: int = 4) -> float:
    write_mars(f"{folder}/data", identities=identities, seed=0)
    datamanager = nr3d.data.ClipDataManager(
        root=f"{folder}/data",
        sources="mars",
        height=64,
        width=32,
        batch_size_train=32,
        crop_padding=2,
        workers=0,
        cache_frames=True,
    )
    model = torchreid.models.build_model(
        "nr3d_resnet18_ibn", datamanager.num_train_pids, loss="not3d", pretrained=False
    )
    optimizer = torchreid.optim.build_optimizer(model, optim="adam", lr=3.5e-4)
    engine = torchreid.engine.VideoNot3DEngine(datamanager, model, optimizer)
    engine.run(save_dir=f"{folder}/log", max_epoch=max_epoch, print_freq=0)

    # The weight of each frame in its clip's feature.
    loader = datamanager.test_loader["mars"]["query"]
    first = next(nr3d.features.extract_each(loader, engine.inference()))
    print("attention weights of the first tracklet's frames:", first.frame_weights.tolist())
    return engine.results["mars"].rank1


if __name__ == "__main__":
    main(sys.argv[1])
