"""Find the holders of a lock in /proc, for messages only.

The kernel names no process for an open-file-description lock (fcntl(2): `l_pid` is -1), but /proc/PID/fdinfo
lists the locks of each open file (proc(5)): of this user's processes, or of all for root.
"""

from __future__ import annotations

import os
from contextlib import suppress

from alpenhorn.fs.own import user_name


def holders(status: os.stat_result, name: str, byte: int) -> list[str]:
    """Return the processes on this host with a lock on a byte of a file: "pid 812 (user ann, alpenhorn)".

    `status`: that of the locked file; `name`: its name.  Does not access the file's storage.
    """
    found = []
    for pid in sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        with suppress(OSError, ValueError, IndexError):  # it ended, or belongs to another user
            if pid != os.getpid() and _holds(pid, str(status.st_ino), name, byte):
                user = user_name(os.stat(f"/proc/{pid}").st_uid)
                with open(f"/proc/{pid}/comm", errors="replace") as file:
                    found.append(f"pid {pid} (user {user}, {file.read().strip()})")
    return found


def _holds(pid: int, inode: str, name: str, byte: int) -> bool:
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{fd}", errors="replace") as file:
            lines = [line.split() for line in file if line.startswith("lock:")]
        for line in lines:
            # lock: 1: OFDLCK ADVISORY WRITE -1 00:2b:1234 0 0
            first, last = line[-2:]
            if line[-3].rpartition(":")[2] != inode or byte < int(first):
                continue
            # Inode numbers are unique within a file system only, and Btrfs shows a different device here; so
            # compare the name.
            covers = last == "EOF" or byte <= int(last)
            if covers and os.path.basename(os.readlink(f"/proc/{pid}/fd/{fd}")) == name:
                return True
    return False
