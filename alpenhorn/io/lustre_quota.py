"""The storage class LustreQuota: a directory on Lustre whose free space is limited by a quota."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from alpenhorn import sizes
from alpenhorn.errors import AlpenhornError, StorageError
from alpenhorn.fs import command
from alpenhorn.io.base import StorageClass
from alpenhorn.io.default import DefaultNode, is_number
from alpenhorn.io.lfs import FLAGS, Quota, parse_quota, quota_argv
from alpenhorn.model.nodes import NodeFact
from alpenhorn.reasons import Code, quoted

MOST_SECONDS = 3600
SIZE_IN_KIB = f"a size such as {sizes.EXAMPLES}, or a whole number of KiB"
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?")


class LustreQuotaNode(DefaultNode):
    """Default, with the free space of a Lustre quota.

    Settings in addition to those of Default: `quota_id` (a name or number) and `quota_type` (`user`, `group`
    or `project`), both required; `fixed_quota` (a size, by default in KiB; overrides the limit that lfs
    reports); `lfs` (the program; default `lfs`); `lfs_timeout` (seconds; default 60).  The older `quota_group` sets
    the id, and the type to `group`.
    """

    known = DefaultNode.known | {
        "quota_id",
        "quota_type",
        "quota_group",
        "fixed_quota",
        "lfs",
        "lfs_timeout",
    }

    def __init__(self, node: NodeFact, settings: Mapping[str, Any]) -> None:
        super().__init__(node, settings)
        if "quota_group" in settings and "quota_id" not in settings:
            quota = quoted(str(settings["quota_group"]))
            self.warnings = (
                f"io_config of node {node.name}: quota_group is outdated (alpenhorn node modify"
                f" {quoted(node.name)} --io-var quota_group= --io-var quota_id={quota}"
                " --io-var quota_type=group)",
            )
            settings = {**settings, "quota_id": settings["quota_group"], "quota_type": "group"}
        self.quota_id = str(self._required(settings, "quota_id", "a name or a number"))
        if not _ID.fullmatch(self.quota_id):
            raise self._wrong("quota_id", "a name or a number")
        self.quota_type = self._required(settings, "quota_type", "user, group or project")
        if not isinstance(self.quota_type, str) or self.quota_type not in FLAGS:
            raise self._wrong("quota_type", "user, group or project")
        fixed = settings.get("fixed_quota")
        self.fixed_quota_b = None if fixed is None else sizes.parse_value(fixed, sizes.KIB)
        if fixed is not None and not self.fixed_quota_b:
            raise self._wrong("fixed_quota", SIZE_IN_KIB)
        self.lfs = settings.get("lfs", "lfs")
        if not isinstance(self.lfs, str) or not self.lfs or self.lfs.startswith("-"):
            raise self._wrong("lfs", "the name or path of a program")
        self.lfs_timeout = settings.get("lfs_timeout", 60)
        if not is_number(self.lfs_timeout) or not 0 < self.lfs_timeout <= MOST_SECONDS:
            raise self._wrong("lfs_timeout", f"a number of seconds, at most {MOST_SECONDS}")

    def _required(self, settings: Mapping[str, Any], key: str, what: str) -> Any:
        if key not in settings:
            raise self._wrong(key, what)
        return settings[key]

    @property
    def probe_seconds(self) -> float:
        return super().probe_seconds + float(self.lfs_timeout)

    def quota(self) -> Quota:
        """Return the quota that lfs reports.  Raises StorageError."""
        try:
            argv = quota_argv(self.lfs, self.quota_type, self.quota_id, self.root)
            return parse_quota(command.run(argv, timeout=self.lfs_timeout).stdout, self.root)
        except AlpenhornError as error:
            raise StorageError(Code.QUOTA_UNKNOWN(node=self.node.name, why=error)) from error

    def free_bytes(self) -> int | None:
        there = super().free_bytes()
        quota = self.quota()
        limit = quota.limit if self.fixed_quota_b is None else self.fixed_quota_b // sizes.KIB
        if limit is None:
            raise StorageError(Code.QUOTA_IS_DEFAULT(node=self.node.name))
        if limit == 0:
            return there
        left = max(0, (limit - quota.used) * 1024)
        return left if there is None else min(there, left)


LUSTRE_QUOTA = StorageClass(node=LustreQuotaNode, group=None, remote=None)
