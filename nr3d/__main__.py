"""``python -m nr3d`` is the command ``nr3d``."""

import sys

from nr3d.cli import main

sys.exit(main())
