"""Run a program: start it, read its output, time out, kill and reap it."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from alpenhorn.errors import CommandFailed, CommandTimedOut, Stopped, StorageError, UnsafePath
from alpenhorn.fs import processes
from alpenhorn.reasons import Code

STDERR_KEPT = 64 * 1024
STDOUT_KEPT = 16 * 1024 * 1024  # more than any valid output; endless output would fill the memory
LINE_KEPT = 1024 * 1024
STOP_POLL = 0.2
STOP_GRACE = 2.0
_READ = 1024 * 1024  # at least the capacity of a pipe


class CompletedCommand(NamedTuple):
    """A program that ended with status 0.

    `stdout` is empty if its lines went to `on_line`; `stderr` is the last 64 KiB.  Bytes that are not UTF-8
    are surrogate escapes, as in file names.
    """

    argv: tuple[str, ...]
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    timeout: float | None,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    on_data: Callable[[memoryview], None] | None = None,
    stopping: Callable[[], bool] | None = None,
) -> CompletedCommand:
    """Run a program until it ends, and kill what remains of its process group.

    `timeout`: seconds, None for no limit.  `stdin`: None for no input.  `env`: None for this process's
    environment.  `on_line` is called with each non-empty line of standard output as it arrives, without its
    line end; a carriage return ends a line too, so that updates of a progress bar arrive one by one.  `on_data`
    is called with the bytes of standard output instead, in a buffer that is used again.  Without both, standard
    output is kept in memory, up to 16 MiB.  `stopping` is called several times a second.

    The program is killed when this process, or the calling thread, ends.

    Raises CommandFailed, CommandTimedOut, Stopped (in the last two cases the program and all its children
    have been killed, SIGTERM first), StorageError if it cannot be started or writes too much, UnsafePath if
    an argument cannot be passed to a program.
    """
    process = start(argv, stdin is not None, env)
    with contextlib.ExitStack() as at_end:
        try:
            conversation = _Conversation(process, argv[0], stdin or b"", on_line, on_data)
            at_end.callback(conversation.close)
            _converse(conversation, timeout, stopping)
        except BaseException:  # before the pipes are closed, or SIGPIPE could end it first
            processes.kill_tree(process.pid, STOP_GRACE)
            process.poll()
            raise
    status = process.wait()
    if status != 0:
        raise CommandFailed(argv[0], status, conversation.stderr(), conversation.stdout())
    return CompletedCommand(tuple(argv), conversation.stdout(), conversation.stderr())


def start(argv: Sequence[str], feed: bool, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own, with unbuffered pipes; with `feed`, one for its input, too.

    It is killed when the calling thread ends.  Raises StorageError and UnsafePath as `run`.
    """
    processes.prepare()
    parent = os.getpid()
    program = argv[0]
    try:
        # preexec_fn is unsafe if it needs a lock that another thread held at the fork.  This one imports and
        # logs nothing: it calls prctl and getppid, loaded beforehand.  Programs that do the same (setpriv)
        # cannot detect that the parent died before they started.
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=env,
            process_group=0,
            preexec_fn=lambda: processes.die_with_parent(parent),
        )
    except FileNotFoundError:
        raise StorageError(Code.PROGRAM_MISSING(program=program)) from None
    except OSError as error:
        raise StorageError(Code.PROGRAM_NOT_STARTED(program=program, why=error.strerror)) from None
    except ValueError as error:
        raise UnsafePath(Code.PROGRAM_ARGUMENTS_IMPOSSIBLE(program=program, why=error)) from None


def _converse(
    conversation: _Conversation,
    timeout: float | None,
    stopping: Callable[[], bool] | None,
) -> None:
    """Exchange data until the program ends, or raise when it must be stopped."""
    started = time.monotonic()
    while True:
        left = None if timeout is None else max(0.0, started + timeout - time.monotonic())
        if stopping is not None:
            left = STOP_POLL if left is None else min(STOP_POLL, left)
        if conversation.turn(left):
            return
        if timeout is not None and time.monotonic() - started >= timeout:
            raise CommandTimedOut(conversation.program, timeout)
        if stopping is not None and stopping():
            raise Stopped(f"{conversation.program} was stopped")


class _Conversation:
    """The pipes and the end of a process, watched together."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        program: str,
        stdin: bytes,
        on_line: Callable[[str], None] | None,
        on_data: Callable[[memoryview], None] | None,
    ) -> None:
        self.process = process
        self.program = program
        self._stdin = memoryview(stdin)
        self._on_line = on_line
        self._on_data = on_data
        self._data_fd = -1
        if on_data is not None and process.stdout is not None:
            self._data_fd = process.stdout.fileno()
            # A new buffer for each read would take as long as reading into it.
            self._buffer = memoryview(bytearray(_READ))
        self._line = b""
        self._stdout: list[bytes] = []
        self._length = 0
        self._stderr = b""
        self._pidfd = os.pidfd_open(process.pid)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pidfd, selectors.EVENT_READ)
        self._readers = {
            pipe.fileno(): take
            for pipe, take in ((process.stdout, self._take_stdout), (process.stderr, self._take_stderr))
            if pipe is not None
        }
        for fd in self._readers:
            os.set_blocking(fd, False)
            self._selector.register(fd, selectors.EVENT_READ)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            self._selector.register(process.stdin.fileno(), selectors.EVENT_WRITE)

    def turn(self, pause: float | None) -> bool:
        """Wait at most `pause` seconds for an event, and handle it; return True at the end."""
        ready = {key.fd for key, _ in self._selector.select(pause)}
        if self._pidfd in ready:
            self._leave()
            return True
        for fd in ready:
            if fd not in self._readers:
                self._feed(fd)
            elif not self._read(fd):
                self._selector.unregister(fd)
        return False

    def _leave(self) -> None:
        """Read what the ended process left in its pipes, and kill its group.

        One read per pipe gets all of it.  Reading to the end of file could block for ever, since a child may
        hold the pipe.  The group is killed before its leader is reaped, while its id cannot be reused.
        """
        for fd in self._readers:
            self._read(fd)
        if self._line:
            self._take_stdout(b"\n")
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _read(self, fd: int) -> bool:
        take = self._on_data if fd == self._data_fd else None
        try:
            if take is not None:
                count = os.readv(fd, [self._buffer])
            else:
                data = os.read(fd, _READ)
                count = len(data)
        except BlockingIOError:
            return True
        if take is not None:
            take(self._buffer[:count])
        else:
            self._readers[fd](data)
        return count > 0

    def _feed(self, fd: int) -> None:
        try:
            self._stdin = self._stdin[os.write(fd, self._stdin) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # the program ignores its input; its status tells whether that matters
            self._stdin = self._stdin[:0]
        if not self._stdin and self.process.stdin is not None:
            self._selector.unregister(fd)
            self.process.stdin.close()

    def _take_stdout(self, data: bytes) -> None:
        if self._on_line is None:
            self._stdout.append(data)
            self._length += len(data)
            if self._length > STDOUT_KEPT:
                raise StorageError(Code.PROGRAM_ANSWER_TOO_LONG(program=self.program, most=STDOUT_KEPT >> 20))
            return
        *lines, self._line = (self._line + data).replace(b"\r", b"\n").split(b"\n")
        if len(self._line) > LINE_KEPT:
            lines.append(self._line)
            self._line = b""
        for line in lines:
            if line:
                self._on_line(_text(line))

    def _take_stderr(self, data: bytes) -> None:
        self._stderr = (self._stderr + data)[-STDERR_KEPT:]

    def stdout(self) -> str:
        return _text(b"".join(self._stdout))

    def stderr(self) -> str:
        return _text(self._stderr)

    def close(self) -> None:
        self._selector.close()
        os.close(self._pidfd)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
