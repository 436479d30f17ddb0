"""What is really on the disks, whatever the index says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from alpenhorn.model.nodes import Identity

DELETED, DIED, ROTTED = "deleted", "disk died", "rotted"


class Medium:
    """A disk at the root of a node.

    `files`: lengths by file id; `rotten`: those with wrong bytes; `parts`: bytes of files that have not arrived
    completely.  `identity`, `marked`, `note` and `manifest`: what alpenhorn's own files on it say.  `dead`: for good;
    `absent`: unplugged.
    """

    def __init__(self, node_id: int, name: str, site: str, archive: bool, size_b: int) -> None:
        self.node_id = node_id
        self.name = name
        self.site = site
        self.archive = archive
        self.size_b = size_b
        self.used_b = 0
        self.files: dict[int, int] = {}
        self.rotten: set[int] = set()
        self.parts: dict[int, int] = {}
        self.identity: Identity | None = None
        self.marked = False
        self.note = ""
        self.manifest = ""
        self.listed: dict[str, int] = {}
        self.draft: dict[str, int] = {}
        self.dead = False
        self.absent = False

    @property
    def usable(self) -> bool:
        return not (self.dead or self.absent) and self.marked

    @property
    def free_b(self) -> int:
        return self.size_b - self.used_b


class World:
    """All media, and who holds what.

    `present`: by node id, the medium that belongs to the node now.  `holders`: by file id, the media with a good copy
    that are not dead.  `lost`: why the last good copy of a file ceased to exist, by file id.
    `wrong_deletions`: (file id, node) of deletions that left a file below its policy, although no disk that held it had
    died or rotted.
    """

    def __init__(self, copies: int, sites: int) -> None:
        self.copies = copies
        self.sites = sites
        self.present: dict[int, Medium] = {}
        self.holders: dict[int, set[Medium]] = {}
        self.lost: dict[int, str] = {}
        self.harmed: set[int] = set()
        self.wrong_deletions: list[tuple[int, str]] = []
        self.deaths = 0
        self.rotted = 0
        self.deleted = 0

    def put(self, medium: Medium) -> None:
        """Place a medium at the root of its node."""
        self.present[medium.node_id] = medium

    def store(self, medium: Medium, file_id: int, size_b: int) -> None:
        """Write a good copy, in place of a bad one if there is one."""
        medium.used_b += size_b - medium.files.get(file_id, 0)
        medium.files[file_id] = size_b
        medium.rotten.discard(file_id)
        medium.parts.pop(file_id, None)
        self.holders.setdefault(file_id, set()).add(medium)
        self.lost.pop(file_id, None)

    def delete(self, medium: Medium, file_id: int) -> None:
        """Remove a copy, as a run has decided."""
        was_good = medium in self.holders.get(file_id, ())
        medium.used_b -= medium.files.pop(file_id)
        medium.rotten.discard(file_id)
        self.deleted += 1
        self._gone(medium, file_id, DELETED)
        if was_good and not self.satisfied(file_id) and file_id not in self.harmed:
            self.wrong_deletions.append((file_id, medium.name))

    def die(self, medium: Medium) -> None:
        medium.dead = True
        self.deaths += 1
        for file_id in medium.files:
            self.harmed.add(file_id)
            self._gone(medium, file_id, DIED)

    def rot(self, medium: Medium, file_id: int) -> None:
        medium.rotten.add(file_id)
        self.rotted += 1
        self.harmed.add(file_id)
        self._gone(medium, file_id, ROTTED)

    def _gone(self, medium: Medium, file_id: int, why: str) -> None:
        held = self.holders[file_id]
        held.discard(medium)
        if not held and file_id not in self.lost:
            self.lost[file_id] = why

    def satisfied(self, file_id: int) -> bool:
        """Return whether a file really has what the policy asks for."""
        held = [medium for medium in self.holders[file_id] if medium.archive]
        return len(held) >= self.copies and len({medium.site for medium in held}) >= self.sites

    def recovered(self, file_ids: Iterable[int]) -> None:
        """Forget the harm to files that have what the policy asks for again."""
        self.harmed.difference_update([file_id for file_id in file_ids if self.satisfied(file_id)])

    def counts(self) -> Counter[str]:
        """Return the numbers of rows: all, below policy, at risk (one good copy), and lost."""
        found: Counter[str] = Counter()
        for file_id, held in self.holders.items():
            found["rows"] += 1
            found["below"] += not self.satisfied(file_id)
            found["at risk"] += len(held) == 1
            found["lost"] += not held
        return found
