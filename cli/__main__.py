"""``python -m harmonize_composite.cli``."""

import sys

from . import main

sys.exit(main())
