"""Published datasets as they lie on the disk: their tables and splits, read into tracklets."""
