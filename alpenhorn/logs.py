"""Logging: the main process writes the log; workers send it their records.

One record is one line, in UTC:

    2025-11-22T11:19:33.123Z INFO [4711] alpenhorn.workers.pool: message [code]

The code is that of the reason in the message, if there is one (`alpenhorn.reasons`).  Unprintable characters,
including line ends, are escaped, so that a file name cannot forge a line.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from alpenhorn.errors import ConfigError
from alpenhorn.outside import harmless
from alpenhorn.reasons import Reason

ROOT = "alpenhorn"


class Record(NamedTuple):
    """A log record sent from a worker to the main process.  `trace`: a formatted traceback or ""."""

    name: str
    level: int
    created: float
    pid: int
    message: str
    trace: str
    code: str = ""


def configure(
    level: str = "info",
    file: str | None = None,
    syslog: bool = False,
    stderr_level: str | None = None,
    not_on_stderr: str = "",
) -> None:
    """Set up the logger `alpenhorn` of the main process, replacing any earlier setup.

    `level` applies to file and syslog.  The file is appended to, and reopened after it was renamed or removed
    (logrotate).  `stderr_level` None: nothing goes to standard error; tracebacks never do.  Records of the logger
    `not_on_stderr` do not go there, because the command prints them itself.  Raises
    ConfigError if the file cannot be opened.  A missing system log is reported once and does not stop the
    run.
    """
    handlers: list[logging.Handler] = []
    if file is not None:
        handlers.append(_log_file(file))
    if syslog:
        handlers.append(_system_log())
    for handler in handlers:
        handler.setLevel(level.upper())
    if stderr_level is not None:
        terminal = _StandardError()
        terminal.setLevel(stderr_level.upper())
        terminal.setFormatter(_Brief())
        terminal.addFilter(lambda record: record.name != not_on_stderr)
        handlers.append(terminal)
    _install(handlers, min((handler.level for handler in handlers), default=logging.CRITICAL))


def unexpected() -> None:
    """Log the traceback of the error being handled, which may not happen again when somebody looks for it."""
    logger = logging.getLogger(ROOT)
    if logger.handlers:  # without any, logging would print it
        logger.exception("unexpected error")


def forward(send: Callable[[Record], None]) -> None:
    """In a worker: pass every record that the main process would log to `send`, and write none."""
    _install([_Forward(send)], logging.getLogger(ROOT).level)


def replay(record: Record) -> None:
    """In the main process: log a record of a worker."""
    logger = logging.getLogger(record.name)
    logger.handle(
        logging.makeLogRecord(
            {
                "name": record.name,
                "levelno": record.level,
                "levelname": logging.getLevelName(record.level),
                "created": record.created,
                "msecs": record.created % 1 * 1000,
                "process": record.pid,
                "msg": record.message,
                "exc_text": record.trace or None,
                "reason": record.code,
            }
        )
    )


def _install(handlers: list[logging.Handler], level: int) -> None:
    logger = logging.getLogger(ROOT)
    for old in list(logger.handlers):
        logger.removeHandler(old)
        with contextlib.suppress(OSError):  # it failed to write before, which was reported then
            old.close()
    # Without any handler, logging would print warnings, and cron would mail them.
    for handler in handlers or [logging.NullHandler()]:
        logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False


def _log_file(path: str) -> logging.Handler:
    try:
        handler = _watched_file(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"log file {path} cannot be opened: {reason}; make it writable, or set another in [log] file"
        ) from None
    formatter = _OneLine("%(asctime)s.%(msecs)03dZ %(levelname)s [%(process)d] %(name)s: %(message)s%(code)s")
    formatter.datefmt = "%Y-%m-%dT%H:%M:%S"
    handler.setFormatter(formatter)
    return handler


def _watched_file(path: str) -> logging.Handler:
    from logging.handlers import WatchedFileHandler  # 6 ms, which runs without a log file save

    class LogFile(_ReportsOnce, WatchedFileHandler):
        what = f"log file {path}"

        def emit(self, record: logging.LogRecord) -> None:
            try:
                super().emit(record)
            except OSError:  # raised by reopening the file, which WatchedFileHandler does not catch
                self.handleError(record)

    return LogFile(path, encoding="utf-8", errors="backslashreplace")


def _system_log() -> logging.Handler:
    from logging.handlers import SysLogHandler  # as above

    class SystemLog(_ReportsOnce, SysLogHandler):
        what = "cannot write to the system log /dev/log (set syslog = false in [log])"

    handler = SystemLog("/dev/log")  # without one, each record is an attempt to connect
    handler.setFormatter(_OneLine("alpenhorn[%(process)d]: %(levelname)s %(name)s: %(message)s%(code)s"))
    return handler


class _ReportsOnce(logging.Handler):
    """A handler that reports once, without a traceback, that it cannot write."""

    what = ""
    _failing = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self._failing and sys.stderr is not None:
            self._failing = True
            print(harmless(f"alpenhorn: {self.what}: {sys.exc_info()[1]}"), file=sys.stderr)


class _OneLine(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        code = _code(record)
        record.code = f" [{code}]" if code else ""
        return harmless(super().format(record))


def _code(record: logging.LogRecord) -> str:
    """Return the code of the reason in a record, "" for none."""
    said = record.args if isinstance(record.args, tuple) else ()
    reasons = (one.code for one in (record.msg, *said) if isinstance(one, Reason))
    return str(next(reasons, getattr(record, "reason", "")))


class _StandardError(logging.Handler):
    """Writes to `sys.stderr`, looked up for each record, because a live display replaces it while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


class _Brief(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"alpenhorn: {record.levelname.lower()}: {harmless(record.getMessage())}"


class _Forward(_ReportsOnce):
    what = "invalid log message"

    def __init__(self, send: Callable[[Record], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        try:
            trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
            self._send(
                Record(
                    record.name,
                    record.levelno,
                    record.created,
                    os.getpid(),
                    record.getMessage(),
                    trace or record.exc_text or "",
                    _code(record),
                )
            )
        except (TypeError, ValueError):  # a message that does not match its arguments must not fail a job
            self.handleError(record)
