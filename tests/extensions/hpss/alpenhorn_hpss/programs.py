"""The programs of HPSS and of the batch system.

`hsi` and `htar` exit with 0 if all went well.  `hsi hashverify` reads a file from tape, and compares it with the
checksum that `hsi hashcreate` stored beside it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from shlex import quote, split

from alpenhorn.errors import CommandFailed, CommandTimedOut, StorageError
from alpenhorn.fs import command
from alpenhorn.reasons import Code

SECONDS = 600.0
NOT_THERE, NO_CONNECTION = "HPSS_ENOENT", 70


class Programs:
    """The programs in a directory, or those on PATH.  All methods raise StorageError if one does not answer."""

    def __init__(self, directory: str = "") -> None:
        self._directory = directory

    def _run(self, program: str, *arguments: str) -> str:
        """Run a program, and return its output.  Raises CommandFailed."""
        try:
            argv = [os.path.join(self._directory, program), *arguments]
            return command.run(argv, timeout=SECONDS).stdout
        except CommandTimedOut as error:
            raise StorageError(error.reason) from error

    def create(self, archive: str, list_file: str) -> None:
        """Put files below the current directory into an archive.  Raises CommandFailed."""
        self._run("htar", "-c", "-f", archive, "-L", list_file)
        self._run("hsi", "-q", f"hashcreate -H md5 {archive}")

    def extract(self, archive: str, list_file: str) -> None:
        """Put members of an archive below the current directory.  Raises CommandFailed."""
        self._run("htar", "-x", "-f", archive, "-L", list_file)

    def verify(self, archive: str) -> str:
        """Return why an archive is not on tape as it was written; "" if it is."""
        try:
            self._run("hsi", "-q", f"hashverify {archive}")
        except CommandFailed as error:
            if error.status == NO_CONNECTION:
                raise StorageError(error.reason) from error
            return str(error)
        return ""

    def remove(self, archive: str) -> None:
        """Remove an archive, which need not exist."""
        try:
            self._run("hsi", "-q", f"rm {archive}")
        except CommandFailed as error:
            if NOT_THERE not in error.stderr:
                raise StorageError(error.reason) from error

    def submit(self, name: str, argv: Sequence[str]) -> None:
        """Submit a job, which may have been accepted even if this fails."""
        self._queue("sbatch", f"--job-name={name}", f"--wrap={' '.join(map(quote, argv))}")

    def jobs(self) -> set[str]:
        """Return the names of this user's jobs that wait or run."""
        return set(split(self._queue("squeue", "--me", "--noheader", "--format=%j")))

    def cancel(self, name: str) -> None:
        """Cancel a job, which need not exist; raises StorageError unless it is gone."""
        self._queue("scancel", "--me", f"--name={name}")
        if name in self.jobs():
            raise StorageError(Code.UNKNOWN(detail=f"job {name} has not ended yet"))

    def _queue(self, program: str, *arguments: str) -> str:
        try:
            return self._run(program, *arguments)
        except CommandFailed as error:
            raise StorageError(error.reason) from error


def job_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "alpenhorn_hpss.job", *arguments]
