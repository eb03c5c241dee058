"""The sections of the table of configuration keys.

Names and defaults are those of torchreid's ``scripts/default_config.py`` where they apply to
video; ``not3d`` holds the keys of the method itself. Choices are those of the code that takes the
value.
"""
