"""Trunks: from frames to feature maps."""
