"""The start of the command `alpenhorn`, and of `python -m alpenhorn`, which is the same."""

import contextlib
import gc
import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line, and end with its exit status."""
    # What is made at start-up lives to the end, and a plan of a million requests makes no cycles: looking
    # through it all again and again took a tenth of a short command's time.  Set before anything is imported.
    gc.set_threshold(50_000)
    from alpenhorn.cli.main import main as run

    status = run()
    with contextlib.suppress(OSError):  # or the status would not be the one that was meant
        sys.stderr.flush()
    # Everything is closed and written by now; to take a thousand modules apart would be a tenth of the time of a
    # run that has nothing to do.
    os._exit(status)


if __name__ == "__main__":
    main()
