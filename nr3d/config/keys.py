"""The table of configuration keys: what each is, may be, changes, and is used by."""

from __future__ import annotations

from yacs.config import CfgNode

from nr3d.config.scopes import Command, Key, Scope
from nr3d.config.values import LARGE, Choice, Flag, FlagOrText, Number, Several, Text, Whole

STEPS, WEIGHTS, FEATURES, FIGURES = Scope.STEPS, Scope.WEIGHTS, Scope.FEATURES, Scope.FIGURES
MACHINE = Scope.MACHINE
TRAIN, TEST, EXTRACT, STORE = Command.TRAIN, Command.TEST, Command.EXTRACT, Command.FEATURES
IMAGES = TRAIN | TEST | EXTRACT
TESTS = TRAIN | TEST | STORE
ALL = IMAGES | STORE

SOME_TEXT = Text(empty=True)
PLACE = Text(place=True)
SOME_PLACE = Text(empty=True, place=True)
FACTOR = Number(0, 1, open=True)
SHARE = Number(0, 1)
BELOW_ONE = Number(0, 1, below=True)
RATE = Number(0, 1000, open=True)
WEIGHT = Number(0, LARGE)
PIXELS = Whole(1, 4096, "a frame is held in memory whole")
PRECISION = Choice(choices=("auto", "bf16", "fp16", "float32"))
DATASETS = Several(Text(), least=1, what="names of datasets")
LAYERS = Several(Text(), what="names of the network's parts")


# Names and defaults are those of torchreid's scripts/default_config.py as far as they apply to
# video; `not3d` holds the method's own. Choices are those of what takes the value.
_TABLE = (
    Key("use_gpu", True, Flag(), "whether to compute on a GPU where there is one", MACHINE, ALL),
    Key(
        "engine",
        "nr3d",
        Choice(choices=("nr3d", "torchreid")),
        "whose engine trains; torchreid's own take loss.name softmax or triplet",
        STEPS,
        TRAIN,
    ),
    # The network, and where its weights come from.
    Key(
        "model.name", "nr3d_resnet50_ibn", Text(), "the network", STEPS | FEATURES, IMAGES, "model"
    ),
    Key(
        "model.pretrained",
        True,
        FlagOrText(empty=True),
        "whether the trunk starts from ImageNet's weights, or the name or file of others",
        WEIGHTS,
        TRAIN,
    ),
    Key(
        "model.load_weights", "", SOME_PLACE, "the weights to start from", WEIGHTS, TRAIN, own=True
    ),
    Key(
        "model.resume",
        "",
        SOME_PLACE,
        "the checkpoint of the run to go on with",
        MACHINE,
        TRAIN,
        own=True,
    ),
    # The data.
    Key("data.root", "reid-data", PLACE, "the folder of the datasets' folders", MACHINE, IMAGES),
    Key(
        "data.pack",
        "",
        SOME_PLACE,
        "the file that nr3d pack wrote of one of the datasets, read in its stead",
        MACHINE,
        IMAGES,
        own=True,
    ),
    Key(
        "data.sources",
        ["mars"],
        DATASETS,
        "the datasets to train on",
        STEPS,
        TRAIN | TEST,
        own=True,
    ),
    # A feature store is of one dataset, which it names.
    Key("data.targets", ["mars"], DATASETS, "the datasets to test on", FIGURES, IMAGES, own=True),
    Key(
        "data.workers",
        4,
        Whole(0, 4096),
        "the processes or threads that read frames",
        MACHINE,
        IMAGES,
    ),
    Key(
        "data.split_id",
        0,
        Whole(0, 9999),
        "the split of PRID2011 and iLIDS-VID, from 0",
        STEPS | FEATURES,
        IMAGES,
        own=True,
    ),
    Key("data.height", 256, PIXELS, "the frames' height in pixels", STEPS | FEATURES, IMAGES),
    Key("data.width", 128, PIXELS, "the frames' width in pixels", STEPS | FEATURES, IMAGES),
    Key(
        "data.combineall",
        False,
        Flag(),
        "whether a dataset's query and gallery are trained on too",
        STEPS | FEATURES,
        TRAIN | EXTRACT,
    ),
    Key(
        "data.transforms",
        ["random_flip"],
        Several(Choice(choices=("random_flip", "random_crop", "random_erase")), what="transforms"),
        "the training frames' augmentation",
        STEPS,
        TRAIN,
    ),
    Key(
        "data.norm_mean",
        [0.485, 0.456, 0.406],
        Several(SHARE, exactly=3, what="numbers, of red, green and blue"),
        "the mean that frames are normalised by",
        STEPS | FEATURES,
        IMAGES,
    ),
    Key(
        "data.norm_std",
        [0.229, 0.224, 0.225],
        Several(Number(1e-6, 255), exactly=3, what="numbers, of red, green and blue"),
        "the deviation that frames are normalised by",
        STEPS | FEATURES,
        IMAGES,
    ),
    Key("data.save_dir", "log", PLACE, "the run's folder", MACHINE, TRAIN | TEST, own=True),
    Key(
        "data.bad_frames",
        "error",
        Choice(choices=("error", "skip")),
        "what to do with a frame that cannot be read",
        STEPS | FEATURES,
        IMAGES,
    ),
    Key(
        "data.cache_frames",
        False,
        Flag(),
        "whether the resized training frames are kept in memory",
        MACHINE,
        TRAIN,
    ),
    # Batches and clips.
    Key(
        "sampler.train_sampler",
        "RandomSampler",
        Choice(
            choices=(
                "RandomIdentitySampler",
                "SequentialSampler",
                "RandomSampler",
                "RandomDomainSampler",
                "RandomDatasetSampler",
            )
        ),
        "how training batches are drawn",
        STEPS,
        TRAIN,
    ),
    Key(
        "sampler.num_instances",
        4,
        Whole(1),
        "the tracklets of an identity in a batch",
        STEPS,
        TRAIN,
    ),
    Key("sampler.num_cams", 1, Whole(0), "the cameras in a batch, 0 for all", STEPS, TRAIN),
    Key("sampler.num_datasets", 1, Whole(0), "the datasets in a batch, 0 for all", STEPS, TRAIN),
    Key(
        "video.seq_len",
        15,
        Whole(1, 1024, "all frames of a batch's clips are held in memory"),
        "the frames of a clip",
        STEPS | FEATURES,
        IMAGES,
    ),
    Key(
        "video.sample_method",
        "evenly",
        Choice(choices=("restricted", "random", "evenly")),
        "how a training clip's frames are chosen",
        STEPS,
        TRAIN,
    ),
    Key(
        "video.pooling_method",
        "avg",
        Choice(choices=("avg", "max")),
        "how the features of a tracklet's clips make its own",
        FEATURES,
        IMAGES,
    ),
    # Training.
    Key(
        "train.optim",
        "adam",
        Choice(choices=("adam", "amsgrad", "sgd", "rmsprop", "radam")),
        "the optimizer",
        STEPS,
        TRAIN,
    ),
    Key("train.lr", 0.0003, RATE, "the learning rate", STEPS, TRAIN),
    Key("train.weight_decay", 5e-4, Number(0, 1000), "the weight decay", STEPS, TRAIN),
    Key("train.max_epoch", 60, Whole(1), "the epochs of the run", WEIGHTS, TRAIN),
    Key("train.batch_size", 32, Whole(1), "the clips of a training batch", STEPS, TRAIN),
    Key(
        "train.fixbase_epoch",
        0,
        Whole(0),
        "the epochs at the start in which open_layers alone learn",
        STEPS,
        TRAIN,
    ),
    Key(
        "train.open_layers",
        ["classifier"],
        LAYERS,
        "the parts of the network that learn in those epochs",
        STEPS,
        TRAIN,
    ),
    Key(
        "train.staged_lr",
        False,
        Flag(),
        "whether other parts than new_layers learn at base_lr_mult of the rate",
        STEPS,
        TRAIN,
    ),
    Key(
        "train.new_layers",
        ["classifier"],
        LAYERS,
        "the parts of the network that learn at the whole rate",
        STEPS,
        TRAIN,
    ),
    Key("train.base_lr_mult", 0.1, Number(0, 1000), "the other parts' share of it", STEPS, TRAIN),
    Key(
        "train.lr_scheduler",
        "single_step",
        Choice(choices=("none", "warmup_multi_step", "single_step", "multi_step", "cosine")),
        "how the learning rate falls",
        STEPS,
        TRAIN,
    ),
    Key(
        "train.stepsize",
        [20],
        Several(Whole(1), what="epochs"),
        "the epochs at which it falls; of single_step the last of them",
        STEPS,
        TRAIN,
    ),
    Key("train.gamma", 0.1, FACTOR, "what it is multiplied by", STEPS, TRAIN),
    Key(
        "train.print_freq",
        20,
        Whole(0),
        "the batches from line to line, 0 for none",
        MACHINE,
        TRAIN,
    ),
    Key(
        "train.checkpoint_steps",
        0,
        Whole(0),
        "the steps from checkpoint to checkpoint within an epoch, 0 for none",
        MACHINE,
        TRAIN,
    ),
    Key("train.precision", "auto", PRECISION, "the number type that it computes in", STEPS, TRAIN),
    Key("train.channels_last", True, Flag(), "whether channels lie innermost", STEPS, TRAIN),
    Key("train.compile", False, Flag(), "whether the trunk is compiled", STEPS, TRAIN),
    Key("train.accumulation_steps", 1, Whole(1), "the batches that make a step", STEPS, TRAIN),
    Key(
        "train.gather_features",
        True,
        Flag(),
        "whether the losses see the clips of all processes",
        STEPS,
        TRAIN,
    ),
    Key(
        "train.sync_norms",
        False,
        Flag(),
        "whether norms see the frames of all processes",
        STEPS,
        TRAIN,
    ),
    # numpy's generator takes no more.
    Key("train.seed", 1, Whole(0, 2**32 - 1), "the seed of every draw", STEPS, TRAIN),
    Key("sgd.momentum", 0.9, BELOW_ONE, "the momentum of sgd and rmsprop", STEPS, TRAIN),
    Key("sgd.dampening", 0.0, SHARE, "the dampening of sgd's momentum", STEPS, TRAIN),
    Key("sgd.nesterov", False, Flag(), "whether sgd's momentum is Nesterov's", STEPS, TRAIN),
    Key("rmsprop.alpha", 0.99, BELOW_ONE, "the smoothing of rmsprop", STEPS, TRAIN),
    Key("adam.beta1", 0.9, BELOW_ONE, "the smoothing of adam's first moment", STEPS, TRAIN),
    Key("adam.beta2", 0.999, BELOW_ONE, "the smoothing of adam's second moment", STEPS, TRAIN),
    Key(
        "transfer.config",
        "",
        SOME_TEXT,
        "the configuration to train first, and to start from",
        WEIGHTS,
        TRAIN,
        own=True,
    ),
    Key(
        "transfer.save_dir",
        "",
        SOME_PLACE,
        "the folder of what is trained first",
        MACHINE,
        TRAIN,
        own=True,
    ),
    # Losses can be registered from outside: which there are is checked where one is built.
    Key("loss.name", "not3d", Text(), "the training loss", STEPS, TRAIN),
    Key("loss.softmax.label_smooth", True, Flag(), "whether labels are smoothed", STEPS, TRAIN),
    Key("loss.triplet.margin", 0.3, WEIGHT, "the margin of the loss triplet", STEPS, TRAIN),
    Key("loss.triplet.weight_t", 1.0, WEIGHT, "the weight of its triplets", STEPS, TRAIN),
    Key("loss.triplet.weight_x", 0.0, WEIGHT, "the weight of its cross entropy", STEPS, TRAIN),
    # Testing.
    Key(
        "test.batch_size",
        0,
        Whole(0, 65536, "they are held in memory"),
        "the frames that go through the network together; 0: 256 with a GPU, 32 without",
        MACHINE,
        IMAGES,
    ),
    Key(
        "test.precision",
        "auto",
        PRECISION,
        "the number type that features are computed in",
        FEATURES,
        IMAGES,
        "precision",
    ),
    Key("test.compile", False, Flag(), "whether the trunk is compiled to test", MACHINE, IMAGES),
    Key(
        "test.evaluator",
        "nr3d",
        Choice(choices=("nr3d", "torchreid")),
        "whose code judges a ranking",
        FIGURES,
        TESTS,
    ),
    Key(
        "test.protocol",
        "torchreid",
        Choice(choices=("torchreid", "mars-official", "ap3d")),
        "the protocol that counts",
        FIGURES,
        TESTS,
    ),
    Key(
        "test.distractors",
        "keep",
        Choice(choices=("keep", "drop")),
        "what becomes of gallery tracklets of people that no query shows",
        FIGURES,
        TESTS,
    ),
    Key(
        "test.memory_gib",
        1.0,
        Number(0, LARGE, open=True),
        "the memory that a ranking may take beside the features, in GiB",
        MACHINE,
        TESTS,
    ),
    Key(
        "test.dist_metric",
        "euclidean",
        Choice(choices=("euclidean", "cosine")),
        "the distance of two features",
        FIGURES,
        TESTS,
    ),
    Key(
        "test.normalize_feature",
        False,
        Flag(),
        "whether features are brought to length 1",
        FIGURES,
        TESTS,
    ),
    Key(
        "test.ranks",
        [1, 5, 10, 20],
        Several(Whole(1, 50), least=1, what="ranks from 1 to 50"),
        "the ranks to report",
        FIGURES,
        TESTS,
    ),
    Key(
        "test.eval_freq",
        -1,
        Whole(-1),
        "the epochs from test to test; -1 or 0: after the last only",
        FIGURES,
        TRAIN,
    ),
    Key("test.start_eval", 0, Whole(0), "the epoch of the first test", FIGURES, TRAIN),
    Key("test.rerank", False, Flag(), "whether to re-rank", FIGURES, TEST | STORE),
    Key("test.visrank", False, Flag(), "whether to draw the rankings", MACHINE, TEST),
    Key("test.visrank_topk", 10, Whole(1, 1000), "the matches drawn of a query", MACHINE, TEST),
    # The method.
    Key(
        "not3d.aggregation",
        "default",
        Choice(choices=("default", "attention", "mean")),
        "what makes a clip's feature of its frames'",
        STEPS | FEATURES,
        IMAGES,
    ),
    Key(
        "not3d.test_sample_method",
        "dense",
        Choice(choices=("dense", "evenly")),
        "which frames of a tracklet are tested",
        FEATURES,
        IMAGES,
        "sample_method",
    ),
    Key(
        "not3d.crop_padding",
        10,
        Whole(0, 4096, "a frame is held in memory whole"),
        "the pixels added at each side before random_crop",
        STEPS,
        TRAIN,
    ),
    Key("not3d.warmup_epochs", 10, Whole(0), "the epochs of the warm-up", STEPS, TRAIN),
    Key("not3d.warmup_factor", 0.01, SHARE, "the share of the rate it starts at", STEPS, TRAIN),
    Key(
        "not3d.metric_loss",
        "ranked_list",
        Choice(choices=("ranked_list", "triplet")),
        "the metric loss",
        STEPS,
        TRAIN,
    ),
    Key("not3d.margin", 1.3, WEIGHT, "the ranked list loss's margin", STEPS, TRAIN),
    Key("not3d.alpha", 2.0, WEIGHT, "the distance that others should keep", STEPS, TRAIN),
    Key("not3d.temperature", 1.0, WEIGHT, "how much near negatives outweigh", STEPS, TRAIN),
    Key("not3d.negative_weight", 1.0, WEIGHT, "the negatives' weight", STEPS, TRAIN),
    Key(
        "not3d.center_reduction",
        "mean",
        Choice(choices=("mean", "half_sum")),
        "how the center loss sums a batch up",
        STEPS,
        TRAIN,
    ),
    Key("not3d.center_lr", 0.5, Number(0, 1000), "the centers' learning rate", STEPS, TRAIN),
    Key("not3d.id_weight", 1.0, WEIGHT, "the ID loss's weight", STEPS, TRAIN),
    Key("not3d.ranked_list_weight", 1.0, WEIGHT, "the metric loss's weight", STEPS, TRAIN),
    Key("not3d.center_weight", 5e-4, WEIGHT, "the center loss's weight", STEPS, TRAIN),
    Key("not3d.erasing_attention_weight", 1.0, WEIGHT, "that loss's weight", STEPS, TRAIN),
)

KEYS: dict[str, Key] = {key.name: key for key in _TABLE}
"""All keys by name, in the order of the table."""


def keys_that_change(scope: Scope, command: Command) -> list[Key]:
    """Return the keys that a command uses and that change any of what the scope names.

    Examples::
        >>> [key.name for key in keys_that_change(Scope.STEPS, Command.TEST)][:2]
        ['model.name', 'data.sources']
    """
    return [key for key in KEYS.values() if key.scope & scope and key.commands & command]


def default_config() -> CfgNode:
    """Return a fresh configuration with every key at its default."""
    cfg = CfgNode()
    for key in KEYS.values():
        *sections, name = key.name.split(".")
        node = cfg
        for section in sections:
            node = node.setdefault(section, CfgNode())
        node[name] = list(key.default) if isinstance(key.default, list) else key.default
    return cfg
