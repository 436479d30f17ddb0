"""Entry point of the command `alpenhorn` and of `python -m alpenhorn`."""

import contextlib
import gc
import os
import signal
import sys
from typing import NoReturn


def _forget_the_launcher() -> None:
    """Undo settings of the parent process that would make programs fail unnoticed."""
    # While SIGCHLD is ignored, the kernel reaps children itself, and every program seems to end with status
    # 0.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.getcwd()
    except OSError:  # it was removed; rsync and ssh do not start in such a directory
        os.chdir("/")


def main() -> NoReturn:
    """Run the command line, and exit with its status."""
    # Objects created at the start live to the end, and a plan of a million requests creates no cycles;
    # frequent collections took a tenth of a short command's time.  Set before anything is imported.
    gc.set_threshold(50_000)
    _use_utf8()
    _forget_the_launcher()
    from alpenhorn.cli.main import main as run  # after the threshold is set, and in UTF-8 mode

    status = run()
    with contextlib.suppress(OSError):  # a closed stderr must not change the status
        sys.stderr.flush()
    # Everything is closed and written; destroying a thousand modules would take a tenth of the time of an
    # idle run.
    os._exit(status)


def _use_utf8() -> None:
    """Restart in Python's UTF-8 mode if the locale has another encoding.

    Names are bytes on disk and UTF-8 in the index.  Decoded as ISO-8859-1, a name becomes another one: its
    file would be registered a second time, and its good copy would be missing.
    """
    if sys.getfilesystemencoding() == "utf-8":
        return
    if not sys.flags.utf8_mode and sys.executable:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


if __name__ == "__main__":
    main()
