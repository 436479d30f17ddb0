"""Pull small files of another host as one tar stream.

Only a file that arrived with the right length and sums is accepted from a stream.  All others are left to rsync, in
the same job, so that only one program decides why a file cannot be pulled, and whether the source's storage is
mounted: tar pads or cuts files that change while it reads them, and does not say which.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from alpenhorn.errors import CommandFailed, Stopped, StorageError, UnsafePath
from alpenhorn.fs.command import run
from alpenhorn.fs.hashing import Digests, Hasher
from alpenhorn.model.pulls import Method, PullFile
from alpenhorn.model.tasks import Blame
from alpenhorn.reasons import Code
from alpenhorn.transfer import ssh, tar
from alpenhorn.transfer.address import name_list
from alpenhorn.transfer.attributes import AttributeSetter
from alpenhorn.transfer.blame import TransferFailed, destination_failed
from alpenhorn.transfer.methods import TAR_LARGEST
from alpenhorn.transfer.tar_reader import Member, TarReader
from alpenhorn.workers.fetching import by_rsync
from alpenhorn.workers.work import ArrivedFile, PullState

SSH_FAILED = 255  # the exit status of ssh itself; otherwise it is that of the other host's command
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def by_tar(work: PullState, files: Sequence[PullFile]) -> None:
    """Pull files as a tar stream, and with rsync those that did not arrive.

    With a bandwidth limit, all are left to rsync: it limits what is sent, and not only what is read.
    """
    work.check_stopping()
    job = work.job
    left = list(files)
    if not job.rate and not work.stage.keeps_parts and job.source.host not in work.without_tar:
        left = _Session(work, files).run()
    if left:
        by_rsync(work, left)


class _Session:
    """One session with the other host."""

    def __init__(self, work: PullState, files: Sequence[PullFile]) -> None:
        self._work = work
        self._files = files
        self._wanted = {os.fsencode(file.path): file for file in files if file.size_b <= TAR_LARGEST}
        self._reader = TarReader({path: file.size_b for path, file in self._wanted.items()})
        self._timer = work.timer()
        self._attributes = AttributeSetter(work.stage.abilities.keeps_owners)
        self._arrived: set[str] = set()
        self._taken = 0

    def run(self) -> list[PullFile]:
        """Return the files that did not arrive.

        Raises Stopped, and TransferFailed if no other file can be fetched now.
        """
        work, host = self._work, self._work.job.source.host
        status, stderr = 0, ""
        try:
            run(
                tar.command(work.transfer.ssh, work.job.source),
                timeout=None,
                stdin=name_list(file.path for file in self._wanted.values()),
                env=ssh.environment(),
                on_data=self._on_data,
                stopping=self._is_over,
            )
        except CommandFailed as error:
            status, stderr = error.status, error.stderr
        except Stopped:
            work.check_stopping()
            if self._timer.why is not None:
                raise TransferFailed(Blame.NETWORK, self._timer.why) from None
        except (StorageError, UnsafePath):
            pass  # rsync reports it
        left = [file for file in self._files if file.path not in self._arrived]
        if left and status == SSH_FAILED:
            why = ssh.failed(host, stderr)
            # A command that a restricted key runs instead may have ended with this status, too.
            if why.code not in (Code.HOST_SESSION_FAILED, Code.HOST_RESTRICTS_COMMANDS):
                raise TransferFailed(Blame.NETWORK, why)
        if not self._arrived and not self._reader.ended and host is not None:
            work.without_tar.add(host)
        return left

    def _is_over(self) -> bool:
        return self._work.stopping() or self._reader.broken or self._timer.over()

    def _on_data(self, data: memoryview) -> None:
        self._timer.moved()
        for member in self._reader.feed(data):
            # The first member of a path counts: another one would have to replace a file that was accepted.
            file = self._wanted.pop(member.path, None)
            if file is not None:
                self._take(file, member)

    def _take(self, file: PullFile, member: Member) -> None:
        """Write a file to the stage; accept it if what was written is right."""
        work = self._work
        work.report.begin(file.path)
        # A name that rsync, for other files of the job, never uses in the same stage.
        name = f".alpenhorn-{self._taken}"
        self._taken += 1
        found: Digests | None = None
        try:
            found = self._write(name, file, member)
        except OverflowError:
            pass  # of a time or owner; rsync reports it
        except OSError as error:
            trouble = destination_failed(error)
            if trouble.blame is Blame.DESTINATION:  # it would hit all other files, too
                work.discard(name)
                raise trouble from None
        if found is None:
            work.discard(name)
            return
        self._arrived.add(file.path)
        work.report_bytes(file.size_b)
        work.arrived.append(ArrivedFile(file, name, work.began, Method.TAR, found.sha256))

    def _write(self, name: str, file: PullFile, member: Member) -> Digests | None:
        """Write a file, read it back, and return its sums; None if they are not those of the index.

        Raises OSError, and OverflowError for an impossible attribute.
        """
        data = member.data
        fd = os.open(name, _NEW, self._attributes.first_mode(member), dir_fd=self._work.stage.fd)
        try:
            written = os.write(fd, data)
            while written < len(data):
                written += os.write(fd, data[written:])
            # What is hashed is what was written, as with all other methods.
            copy = os.pread(fd, len(data) + 1, 0)
            hasher = Hasher(file.sha256 is not None)
            hasher.update(copy)
            found = hasher.digests()
            if len(copy) != file.size_b or not found.agree(file.md5sum, file.sha256):
                return None
            self._attributes.set(fd, member)
            if self._work.flush_each:
                os.fsync(fd)
            return found
        finally:
            os.close(fd)
