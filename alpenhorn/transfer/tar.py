"""Fetch many small files as one tar stream: the command on the other host.  Its input is a `name_list`.

The other host needs sh and a tar with the options below, which the GNU tar manual and bsdtar(1) describe; tested
with GNU tar 1.34 and bsdtar 3.6.2.  The tar of busybox lacks --null.  With it, both take names as they are, and a
name that begins with "./" is never an option.  Only the format pax has the times of files to the nanosecond.  Only
the stream shows what a session has transferred; `alpenhorn.transfer.tar_reader` reads it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from alpenhorn.errors import StorageError
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code
from alpenhorn.transfer import ssh as remote
from alpenhorn.transfer.address import login, root_of

# LC_ALL: other locales would convert names to UTF-8.  TAR_OPTIONS: more options for GNU tar, set by the user.
_TAR = "exec env LC_ALL=C TAR_OPTIONS= tar --null --no-recursion --format=pax -b 64 -c -f - -T -"


def command(ssh: Sequence[str], node: NodeFact) -> tuple[str, ...]:
    """Return the arguments of a session that sends files below a node's root, named on its standard input.

    Raises StorageError if the node's host has no usable address, or its root cannot be an absolute path.
    """
    user, address = login(node)
    try:
        root = os.fsencode(root_of(node))
    except UnicodeEncodeError:
        raise StorageError(Code.ROOT_NAME_IMPOSSIBLE(root=node.root)) from None
    return (*remote.command(ssh, user), "--", address, _script(root))


def _script(root: bytes) -> str:
    """Return the command for the user's shell, which may be any.

    Without single quotes, exclamation marks and newlines in the script, sh, csh and fish all pass it on
    unchanged.  So the bytes of the root are written in octal, for the %b of printf.  The slash keeps a newline
    at the end of the root, which the shell would remove.
    """
    octal = remote.in_octal(root.rstrip(b"/")) + b"/"
    return f"""exec sh -c 'cd -- "$(printf %b "{octal.decode()}")" && {_TAR}'"""
