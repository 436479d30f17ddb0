"""`python -m alpenhorn` is the same as `alpenhorn`."""

import sys

from alpenhorn.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
