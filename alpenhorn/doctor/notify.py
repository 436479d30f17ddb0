"""Check the section [notify] of the configuration.  Nothing is sent; `alpenhorn notify test` does that."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator

from alpenhorn import address
from alpenhorn.config import Notify
from alpenhorn.index.check import Finding, Level
from alpenhorn.reasons import Code

TRY = "to try it: alpenhorn notify test"


def notify(settings: Notify) -> Iterator[Finding]:
    """Check each channel, naming it without the secret parts of its URL."""
    if settings.ping:
        yield Finding(Level.PASS, f"notification by ping {address.printable_ping(settings.ping)} ({TRY})")
    for number, url in enumerate(settings.apprise, 1):
        yield _apprise(f"notification by apprise {number} ({address.apprise_service(url)}://…)", url)
    if settings.command:
        program = settings.command[0]
        channel = f"notification by command {program}"
        if shutil.which(program) is None:
            where = "is not on PATH" if "/" not in program else "does not exist, or is not executable"
            remedy = "install it, or set another in [notify] command"
            yield Finding(Level.FAIL, Code.NOTIFY_COMMAND_MISSING(channel=channel, where=where), remedy)
        else:
            yield Finding(Level.PASS, f"{channel} ({TRY})")


def _apprise(channel: str, url: str) -> Finding:
    try:
        import apprise  # an optional package, which takes 0.3 s
    except ImportError:
        why = Code.NOTIFY_PACKAGE_MISSING(channel=channel)
        return Finding(Level.FAIL, why, "pip install 'alpenhorn[notify]'")
    logger = logging.getLogger("apprise")  # its messages contain parts of the URL
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    if apprise.Apprise().add(url):
        return Finding(Level.PASS, f"{channel} ({TRY})")
    why = Code.NOTIFY_URL_UNUSABLE(channel=channel)
    return Finding(
        Level.FAIL, why, "correct it in [notify] apprise; https://github.com/caronc/apprise lists the forms"
    )
