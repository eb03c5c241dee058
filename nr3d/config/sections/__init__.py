"""The sections of the table of configuration keys.

Names and defaults are those of torchreid's ``scripts/default_config.py`` as far as they apply to
video; ``not3d`` holds the method's own. Choices are those of what takes the value.
"""
