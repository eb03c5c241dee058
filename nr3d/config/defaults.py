"""Every configuration key and its default: torchreid's own, and nr3d's."""

from __future__ import annotations

from yacs.config import CfgNode


def default_config() -> CfgNode:
    """Give a fresh configuration with every key at its default.

    Keys and defaults are those of torchreid's ``scripts/default_config.py`` as far as they apply
    to video; ``not3d`` holds the method's own.
    """
    cfg = CfgNode()
    cfg.use_gpu = True  # where there is one

    cfg.model = CfgNode()
    cfg.model.name = "nr3d_resnet50_ibn"
    cfg.model.pretrained = True  # True: the trunk's ImageNet weights; or a path
    cfg.model.load_weights = ""  # weights to start from, or to test
    cfg.model.resume = ""  # checkpoint of the run to go on with

    cfg.data = CfgNode()
    cfg.data.root = "reid-data"
    cfg.data.pack = ""  # file that `nr3d pack` wrote of one of the datasets, read in its stead
    cfg.data.sources = ["mars"]
    cfg.data.targets = ["mars"]
    cfg.data.workers = 4
    cfg.data.split_id = 0  # of PRID2011 and iLIDS-VID
    cfg.data.height = 256
    cfg.data.width = 128
    cfg.data.combineall = False
    cfg.data.transforms = ["random_flip"]  # random_flip, random_crop, random_erase
    cfg.data.norm_mean = [0.485, 0.456, 0.406]
    cfg.data.norm_std = [0.229, 0.224, 0.225]
    cfg.data.save_dir = "log"
    cfg.data.bad_frames = "error"  # or skip: go on with the tracklet's other frames
    cfg.data.cache_frames = False  # keep the resized training frames in memory: for small datasets

    cfg.sampler = CfgNode()
    cfg.sampler.train_sampler = "RandomSampler"
    cfg.sampler.num_instances = 4  # tracklets of an identity in a batch
    cfg.sampler.num_cams = 1
    cfg.sampler.num_datasets = 1

    cfg.video = CfgNode()
    cfg.video.seq_len = 15  # frames of a clip
    cfg.video.sample_method = "evenly"  # training clips: restricted, random, evenly
    cfg.video.pooling_method = "avg"  # from a tracklet's clips to its feature; or max

    cfg.train = CfgNode()
    cfg.train.optim = "adam"
    cfg.train.lr = 0.0003
    cfg.train.weight_decay = 5e-4
    cfg.train.max_epoch = 60
    cfg.train.batch_size = 32  # clips
    cfg.train.fixbase_epoch = 0
    cfg.train.open_layers = ["classifier"]
    cfg.train.staged_lr = False
    cfg.train.new_layers = ["classifier"]
    cfg.train.base_lr_mult = 0.1
    # warmup_multi_step, torchreid's single_step, multi_step and cosine, or none
    cfg.train.lr_scheduler = "single_step"
    cfg.train.stepsize = [20]
    cfg.train.gamma = 0.1
    cfg.train.print_freq = 20
    cfg.train.checkpoint_steps = 0  # steps between checkpoints within an epoch; 0: none
    # bf16, fp16, float32, or auto: bf16 where the hardware has it, fp16 on an older GPU
    cfg.train.precision = "auto"
    cfg.train.channels_last = True
    cfg.train.compile = False  # the trunk, by torch.compile
    cfg.train.accumulation_steps = 1  # batches that make a step
    cfg.train.gather_features = True  # with several processes: the losses see all their clips
    cfg.train.sync_norms = False  # with several processes: norms see all their frames
    cfg.train.seed = 1

    cfg.sgd = CfgNode()
    cfg.sgd.momentum = 0.9
    cfg.sgd.dampening = 0.0
    cfg.sgd.nesterov = False
    cfg.rmsprop = CfgNode()
    cfg.rmsprop.alpha = 0.99
    cfg.adam = CfgNode()
    cfg.adam.beta1 = 0.9
    cfg.adam.beta2 = 0.999

    cfg.transfer = CfgNode()
    cfg.transfer.config = ""  # configuration to train first, and to start from its best weights
    cfg.transfer.save_dir = ""  # where it is or will be; "": its own data.save_dir

    cfg.loss = CfgNode()
    cfg.loss.name = "not3d"  # softmax and triplet alone are torchreid's own engines'
    cfg.loss.softmax = CfgNode()
    cfg.loss.softmax.label_smooth = True

    cfg.test = CfgNode()
    # frames that go through the network together, of any tracklets; 0: 256 with a GPU, 32 without
    cfg.test.batch_size = 0
    cfg.test.precision = "auto"  # as train.precision
    cfg.test.compile = False
    cfg.test.evaluator = "nr3d"  # or torchreid: its own
    # or mars-official: the queries stay in the gallery, precision by trapezoids; or ap3d: they
    # stay, precision by steps. `nr3d test` gives MARS by all three
    cfg.test.protocol = "torchreid"
    cfg.test.distractors = "keep"  # or drop: gallery tracklets of people that no query shows
    cfg.test.memory_gib = 1.0  # that a ranking may take beside the features
    cfg.test.dist_metric = "euclidean"  # or cosine
    cfg.test.normalize_feature = False
    cfg.test.ranks = [1, 5, 10, 20]
    cfg.test.eval_freq = -1  # epochs between tests; -1: after the last only
    cfg.test.start_eval = 0
    cfg.test.rerank = False
    cfg.test.visrank = False  # draw the rankings
    cfg.test.visrank_topk = 10

    cfg.not3d = CfgNode()
    cfg.not3d.aggregation = "default"  # the model's own; or attention, mean
    cfg.not3d.test_sample_method = "dense"  # or evenly
    cfg.not3d.crop_padding = 10  # pixels added at each side before random_crop
    cfg.not3d.warmup_epochs = 10
    cfg.not3d.warmup_factor = 0.01
    cfg.not3d.metric_loss = "ranked_list"  # or triplet: torchreid's, with its weight
    cfg.not3d.margin = 1.3
    cfg.not3d.alpha = 2.0
    cfg.not3d.temperature = 1.0
    cfg.not3d.negative_weight = 1.0
    cfg.not3d.center_reduction = "mean"  # or half_sum
    cfg.not3d.center_lr = 0.5
    cfg.not3d.id_weight = 1.0
    cfg.not3d.ranked_list_weight = 1.0
    cfg.not3d.center_weight = 5e-4
    cfg.not3d.erasing_attention_weight = 1.0
    return cfg
