"""The start of the command `alpenhorn`, and of `python -m alpenhorn`, which is the same."""

import gc
import sys


def main() -> int:
    """Run the command line and return its exit status."""
    # What is made at start-up lives to the end, and a plan of a million requests makes no cycles: looking
    # through it all again and again took a tenth of a short command's time.  Set before anything is imported.
    gc.set_threshold(50_000)
    from alpenhorn.cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
