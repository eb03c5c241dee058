"""Datasets converted from a tree ``identity/camera/tracklet/frame``, or from named images."""
