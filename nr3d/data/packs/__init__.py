"""Packs: a dataset's frames in one file."""
