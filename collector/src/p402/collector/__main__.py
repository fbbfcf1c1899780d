"""``python -m p402.collector`` is the command ``p402``."""

import sys

from p402.collector.cli import main

if __name__ == "__main__":
    sys.exit(main())
