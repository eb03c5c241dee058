"""Datasets converted from a plain tree of frames, ``identity/camera/tracklet/frame``."""
