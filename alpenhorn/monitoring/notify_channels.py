"""The channels of notifications: a dead man's switch, Apprise, and a command.

Errors name a channel only by its `name`, which contains no secret: neither the path of a ping's URL nor anything but
the service of an Apprise URL.
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from threading import Thread
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from alpenhorn import __version__, address
from alpenhorn.config import Notify
from alpenhorn.errors import AlpenhornError, CommandTimedOut
from alpenhorn.fs.command import STOP_GRACE, run
from alpenhorn.fs.process_tree import KILL_WAIT
from alpenhorn.monitoring.notify_plan import Message
from alpenhorn.outside import text

SECONDS = 10.0  # for each channel; all are used at the same time
END_SECONDS = STOP_GRACE + KILL_WAIT  # to kill a command that did not end in time
PING_BODY_B = 10_000  # Healthchecks keeps no more
_ANSWER_B = 200
_STATUS = re.compile(r"error ?= ?([1-5][0-9]{2})\b")


class Channel(NamedTuple):
    """A way to deliver messages.

    `name`: for people; contains no secret.  `id`: in the state file.  `deliver` returns why it failed, "" if it did
    not.
    """

    name: str
    id: str
    deliver: Callable[[Message], str]


def channels(settings: Notify) -> Iterator[Channel]:
    """Return the channels for messages, as configured."""
    for number, url in enumerate(settings.apprise, 1):
        name = f"apprise {number} ({address.apprise_service(url)}://…)"
        digest = hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        yield Channel(name, f"apprise {digest}", lambda message, url=url: _apprise(url, message))  # type: ignore[misc]
    if settings.command:
        name = f"command {settings.command[0]}"
        yield Channel(name, name, lambda message: _command(settings.command, message))


def ping_name(url: str) -> str:
    return f"ping {address.printable_ping(url)}"


def ping(url: str, suffix: str, lines: Sequence[str]) -> str:
    """Tell a dead man's switch, by the protocol of Healthchecks (https://healthchecks.io/docs/http_api/).

    `suffix`: "/start", "/fail", "/log", or "" for success.  Returns why it failed, "" if it did not.
    """
    parts = urlsplit(url)
    target = urlunsplit(parts._replace(path=parts.path.rstrip("/") + suffix))
    body = text("\n".join(lines)).encode()[:PING_BODY_B]
    headers = {"User-Agent": f"alpenhorn/{__version__}", "Content-Type": "text/plain; charset=utf-8"}
    request = urllib.request.Request(target, data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            said = answer.read(_ANSWER_B)
    except urllib.error.HTTPError as error:
        return f"HTTP status {error.code}"
    except urllib.error.URLError as error:
        return _network_fault(error.reason)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _network_fault(error)
    # Healthchecks answers so with status 200.
    return "the server does not know this URL" if b"(not found)" in said else ""


def _network_fault(error: object) -> str:
    """Describe an error without its text, which may contain the URL."""
    if isinstance(error, TimeoutError):
        return f"no answer within {SECONDS:g} s"
    if isinstance(error, socket.gaierror):
        return "the host name cannot be resolved"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"no valid answer ({type(error).__name__})"


def _apprise(url: str, message: Message) -> str:
    try:
        import apprise  # an optional package, which takes 0.3 s
    except ImportError:
        return "the package apprise is not installed: pip install 'alpenhorn[notify]'"
    # Its messages contain parts of the URL, so only the HTTP status is taken from them.
    said: list[str] = []
    logger = logging.getLogger("apprise")
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    logger.addHandler(_Collect(said))
    try:
        service = apprise.Apprise()
        if not service.add(url):
            return "the URL is not valid for this service"
        if "overflow=" not in url:
            for target in service:  # a message that is too long would be refused again and again
                target.overflow_mode = apprise.common.OverflowMode.SPLIT
        kind = {"failure": "failure", "warning": "warning", "recovery": "success"}.get(message.event, "info")
        # As text, or services that send HTML would lose the line ends.
        text_format = apprise.NotifyFormat.TEXT
        body = "\n".join(message.lines)
        if service.notify(title=message.title, body=body, notify_type=kind, body_format=text_format):
            return ""
    except Exception as error:  # of any of its plugins
        return f"failed ({type(error).__name__})"
    status = next((found[1] for line in said if (found := _STATUS.search(line))), None)
    return f"HTTP status {status}" if status else "not delivered: the service refused it or did not answer"


class _Collect(logging.Handler):
    """Collect what one delivery logs, because others log at the same time.

    Apprise may deliver in a thread of its own, which has the context of the thread that asked for it.
    """

    _current: ContextVar[_Collect | None] = ContextVar("delivery", default=None)

    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self._said = said
        self._current.set(self)

    def emit(self, record: logging.LogRecord) -> None:
        if self._current.get() is self:
            self._said.append(record.getMessage())


def _command(argv: Sequence[str], message: Message) -> str:
    """Run a program with the message on its standard input: the title, an empty line, and the lines."""
    environ = os.environ | {
        "ALPENHORN_EVENT": message.event,
        "ALPENHORN_HOST": message.host,
        "ALPENHORN_TITLE": message.title,
        "ALPENHORN_EXIT_STATUS": str(message.exit_status),
    }
    said = "\n".join((message.title, "", *message.lines, ""))
    try:
        run(argv, timeout=SECONDS, stdin=said.encode("utf-8", "surrogateescape"), env=environ)
    except CommandTimedOut:
        return f"did not end within {SECONDS:g} s and was killed"
    except AlpenhornError as error:
        return str(error)
    return ""


class Deliveries:
    """Deliveries that take place at the same time, each in a thread, because a name server may never answer.

    A thread that hangs is left behind, so this must be used in a process that ends soon after.  `seconds`: for each.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._threads: dict[str, Thread] = {}
        self._faults: dict[str, str] = {}

    def start(self, name: str, deliver: Callable[[], str]) -> None:
        def work() -> None:
            try:
                self._faults[name] = deliver()
            except Exception as error:  # without its text, as in `_network_fault`
                self._faults[name] = f"failed ({type(error).__name__})"

        thread = Thread(target=work, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads
            work()
        else:
            self._threads[name] = thread

    def faults(self) -> dict[str, str]:
        """Wait for the deliveries; return why each failed, "" if it did not, by name."""
        for name, thread in self._threads.items():
            late = END_SECONDS if name.startswith("command ") else 0.5
            thread.join(max(0.0, self._end + late - time.monotonic()))
        late_ones = dict.fromkeys(self._threads, f"no answer within {self._seconds:g} s")
        return late_ones | self._faults
