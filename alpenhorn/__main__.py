"""The start of the command `alpenhorn`, and of `python -m alpenhorn`, which is the same."""

import contextlib
import gc
import os
import signal
import sys
from typing import NoReturn


def _forget_the_launcher() -> None:
    """Undo what a launcher has left that would make programs fail, and look as if they had not."""
    # While it is ignored the kernel reaps children itself, and each program would seem to end with status 0.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.getcwd()
    except OSError:  # it was removed; rsync and ssh do not start in such a directory
        os.chdir("/")


def main() -> NoReturn:
    """Run the command line, and end with its exit status."""
    # What is made at start-up lives to the end, and a plan of a million requests makes no cycles: looking
    # through it all again and again took a tenth of a short command's time.  Set before anything is imported.
    gc.set_threshold(50_000)
    _use_utf8()
    _forget_the_launcher()
    from alpenhorn.cli.main import main as run

    status = run()
    with contextlib.suppress(OSError):  # or the status would not be the one that was meant
        sys.stderr.flush()
    # Everything is closed and written by now; to take a thousand modules apart would be a tenth of the time of a
    # run that has nothing to do.
    os._exit(status)


def _use_utf8() -> None:
    """Begin anew in Python's UTF-8 mode where the locale has another encoding.

    Names are bytes on disk and UTF-8 in the index.  Taken for ISO-8859-1, a name becomes another one: a file is
    registered a second time, and its good copy is missing.
    """
    if sys.getfilesystemencoding() == "utf-8":
        return
    if not sys.flags.utf8_mode and sys.executable:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


if __name__ == "__main__":
    main()
