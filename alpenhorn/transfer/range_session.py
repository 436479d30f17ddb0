"""A session with another host that reads ranges of one file, as many as it is asked for, one after another.

The command is constant.  The path reaches the other host on standard input, in a form that no shell interprets,
followed by its length and one line for each range: the first block, the number of blocks, of BLOCK bytes, and the
number of records that dd must report, as "whole+partial".  The answer to each is the bytes and a NUL; the session ends
if dd has read anything else, or the length has changed.  The other host needs sh, printf, ls and dd with nothing beyond
POSIX.  (`tail -c +N` reads everything before the range on some systems, and `iflag=skip_bytes` is only in GNU's dd.)
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from alpenhorn.errors import StorageError
from alpenhorn.fs import processes
from alpenhorn.fs.command import STDERR_KEPT, STOP_GRACE, start
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code
from alpenhorn.transfer import ssh as remote
from alpenhorn.transfer.address import login, root_of
from alpenhorn.transfer.byte_ranges import BLOCK, ByteRange, without_tail

AHEAD = 2  # ranges asked for at once, so that the other host never waits for a request
RANGE_SECONDS = 2.0  # duration of one range
LEAST_RANGE = 4 * BLOCK
FIRST_RANGE = 16 * BLOCK  # until the rate is known
MOST_RANGE = 256 * BLOCK

_LOST = 255  # ssh's status if the connection failed or broke
_NOISE = 64 * 1024  # bytes that a login shell may print before the first NUL
_READ = 2**20
_SCRIPT = " ".join(
    (
        r'read -r p; read -r size; f=$(printf "%b." "$p"); f=${f%.}; set -f; exec 3>&1;',
        'same() { set -- $(ls -dln "$f"); [ "$5" = "$size" ]; };',
        # A fifo would block; rsync does not follow a link either.
        r'[ -f "$f" ] || exit 9; [ -L "$f" ] && exit 9; same || exit 9; printf "\0";',
        "while read -r s n records; do",
        # Without the comparisons, missing bytes would be waited for until the session has stalled.
        f'case $(dd if="$f" bs={BLOCK} skip="$s" count="$n" 2>&1 >&3) in "$records records in"*) ;;',
        r'*) exit 9;; esac; same || exit 9; printf "\0"; done',
    )
)
# As in `look`: any login shell passes it on unchanged.
COMMAND = f"exec env LC_ALL=C sh -c '{_SCRIPT}'"


def command(ssh: Sequence[str], node: NodeFact) -> tuple[str, ...]:
    """Return the arguments of a session with a node's host; raises StorageError if it has no usable address.

    A shared connection (ControlMaster) would be as slow as one stream.
    """
    user, address = login(node)
    program, *others = remote.command(ssh, user)
    return (program, "-oControlMaster=no", "-oControlPath=none", *others, "--", address, COMMAND)


def source_lines(node: NodeFact, path: str, size_b: int) -> bytes:
    """Return the first lines of a session's input: the file's absolute path, as for printf, and its length.

    Raises StorageError if the root is not absolute, or no name of a directory.
    """
    root = root_of(node)
    try:
        whole = os.fsencode(f"{root.rstrip('/')}/{path}")
    except UnicodeEncodeError:
        raise StorageError(Code.ROOT_NAME_IMPOSSIBLE(root=root)) from None
    return remote.in_octal(whole) + b"\n%d\n" % size_b


class RangeSession:
    """A session; `fd`: its output, `errors`: its standard error, `pidfd`: readable once it has ended.  Does not block.

    `put` is called with bytes and their offset, `on_range` with each range of whole blocks that was written, in order;
    errors raised by `put` pass through `read`.  Raises StorageError if ssh cannot be started, and OSError.
    """

    def __init__(
        self,
        argv: Sequence[str],
        source: bytes,
        size_b: int,
        put: Callable[[memoryview, int], None],
        on_range: Callable[[ByteRange], None],
    ) -> None:
        self.ready = False  # the file was opened, or rather could be
        self.failed = False  # the answer was not what was asked for
        self.useful = False  # it has brought a whole range
        self.asked: deque[ByteRange] = deque()
        self.stderr = b""
        self._size_b = size_b
        self._put = put
        self._on_range = on_range
        self._position = self._noted = 0  # in the first range of `asked`
        self._noise = 0
        self._rate = 0.0
        self._began = 0.0
        self._process = start(argv, feed=True)
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._stdin = self._process.stdin.fileno()
        self.errors = self._process.stderr.fileno()
        self.fd = self._process.stdout.fileno()
        try:
            self.pidfd = os.pidfd_open(self._process.pid)
        except OSError:  # too many open files
            processes.kill_tree(self._process.pid)
            raise
        for fd in (self._stdin, self.errors, self.fd):
            os.set_blocking(fd, False)
        self._send(source)

    def next_length(self) -> int:
        """Return the length of the next range to ask for: what this stream brings in about RANGE_SECONDS."""
        if not self._rate:
            return FIRST_RANGE
        length = int(self._rate * RANGE_SECONDS) // BLOCK * BLOCK
        return min(max(length, LEAST_RANGE), MOST_RANGE)

    def ask(self, wanted: ByteRange) -> None:
        if not self.asked:
            self._start_range(wanted)
        self.asked.append(wanted)
        whole, rest = divmod(wanted.length, BLOCK)
        partial = 1 if rest else 0
        self._send(b"%d %d %d+%d\n" % (wanted.start // BLOCK, whole + partial, whole, partial))

    def read(self) -> int | None:
        """Take what has arrived; return the number of bytes, None at the end of the output."""
        try:
            data = os.read(self.fd, _READ)
        except BlockingIOError:
            return 0
        if not data:
            return None
        rest = memoryview(data)
        while rest and not self.failed:
            rest = rest[self._take(rest) :]
        return len(data)

    def read_errors(self) -> bool:
        """Take what has arrived on standard error; return False at its end."""
        try:
            data = os.read(self.errors, _READ)
        except BlockingIOError:
            return True
        self.stderr = (self.stderr + data)[-STDERR_KEPT:]
        return bool(data)

    def unfinished(self) -> list[ByteRange]:
        """Return what it was asked for and has not brought."""
        left = list(self.asked)
        if left:
            left[0] = ByteRange(self._noted, left[0].end)
        return [one for one in left if one.length > 0]

    def unproven(self) -> ByteRange:
        """Return the range at which it failed, as far as it was noted: it may have other bytes."""
        return ByteRange(self.asked[0].start, self._noted) if self.asked else ByteRange(0, 0)

    def close(self) -> bool:
        """Kill the session if it still runs; return whether it was lost, and did not end on the other host."""
        lost = False
        with suppress(OSError):
            # One read gets all that an ended process has left in its pipe.
            self.read_errors()
        # Its group is killed before it is reaped, while the id cannot be reused.
        if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            processes.kill_tree(self._process.pid, STOP_GRACE)
        else:
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            status = self._process.wait()
            lost = status == _LOST or status < 0
        self._process.poll()
        os.close(self.pidfd)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()
        return lost

    def _start_range(self, wanted: ByteRange) -> None:
        self._position = self._noted = wanted.start
        self._began = time.monotonic()

    def _take(self, data: memoryview) -> int:
        """Use the start of `data`; return its length."""
        if not self.ready:
            return self._greet(data)
        if not self.asked:
            self.failed = True  # nothing was asked for
            return 0
        end = self.asked[0].end
        if self._position < end:
            count = min(len(data), end - self._position)
            self._put(data[:count], self._position)
            self._position += count
            self._note()
            return count
        if data[0] != 0:
            self.failed = True  # dd has read too little, or too much
            return 0
        self._finish_range()
        return 1

    def _greet(self, data: memoryview) -> int:
        found = bytes(data).find(b"\0")
        self.ready = found >= 0
        self._noise += found if self.ready else len(data)
        self.failed = self._noise > _NOISE
        return found + 1 if self.ready else len(data)

    def _note(self) -> None:
        """Report whole blocks only, since the rest of a broken range is asked for by blocks."""
        complete = without_tail(self._position, self._size_b)
        if complete > self._noted:
            self._on_range(ByteRange(self._noted, complete))
            self._noted = complete

    def _finish_range(self) -> None:
        done = self.asked.popleft()
        self.useful = True
        self._rate = done.length / max(time.monotonic() - self._began, 0.001)
        if self.asked:
            self._start_range(self.asked[0])

    def _send(self, line: bytes) -> None:
        with suppress(BrokenPipeError, BlockingIOError):  # it has ended, or fails for lack of an answer
            os.write(self._stdin, line)
