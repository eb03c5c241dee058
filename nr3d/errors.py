"""The errors that nr3d raises for what its user can mend.

Each message names what was wrong, the value met, what was expected and what to do next. The command
line prints it as one line and exits with status 2.
"""

from __future__ import annotations


class Nr3dError(Exception):
    """Anything that the user of nr3d can mend: the base of the errors below."""


class RegistrationError(Nr3dError):
    """A name that nr3d brings is already taken in torchreid, or torchreid lacks what is needed."""


class ConfigError(Nr3dError, ValueError):
    """A configuration key, value or file is not usable."""


class DataError(Nr3dError):
    """A dataset or one of its tracklets is not usable."""


class FrameError(DataError, OSError):
    """A frame is missing, truncated or not an image."""


class WeightsError(Nr3dError):
    """Pretrained weights or a checkpoint cannot be found, verified or loaded."""


class FeatureStoreError(Nr3dError):
    """A feature store is missing, damaged, of another version or made with other settings."""
