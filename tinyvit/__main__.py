"""python -m tinyvit"""

import sys

from tinyvit.cli import main

sys.exit(main())
