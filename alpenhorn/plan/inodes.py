"""Account of free inodes: each new file, and each new directory, needs one."""

from __future__ import annotations

SPARE = 16  # reserved for stages, manifests and other users of the file system


class _Stock:
    def __init__(self, free: int) -> None:
        self.free = free
        # They may exist already, which is not known here; then one inode too many is reserved for each.
        self.directories: set[str] = set()
        self.total = 0  # reserved
        self.above: dict[str, int] = {}  # of which for the directories of a file, by its path


class Inodes:
    """The inodes of a run's nodes; nodes whose file systems have no limit need not be opened."""

    def __init__(self) -> None:
        self._stocks: dict[int, _Stock] = {}

    def open(self, node_id: int, free: int | None) -> None:
        """Begin the account of a node.  `free`: free inodes when it was probed, None if unlimited or unknown."""
        if free is not None:
            self._stocks[node_id] = _Stock(free)

    def short(self, node_id: int, path: str) -> int | None:
        """Return the number of free inodes if too few for a new file at `path`, None if enough."""
        stock = self._stocks.get(node_id)
        if stock is None:
            return None
        left = stock.free - stock.total
        return max(0, left) if left - _need(stock, path) < SPARE else None

    def reserve(self, node_id: int, path: str) -> None:
        stock = self._stocks.get(node_id)
        if stock is not None:
            need = _need(stock, path)
            stock.total += need
            if need > 1:
                stock.above[path] = need - 1
                stock.directories.update(_above(path))

    def settle(self, node_id: int, path: str, came: bool) -> None:
        """Release the reservation of a file, which must have one.  `came`: the file was created."""
        stock = self._stocks.get(node_id)
        if stock is not None:
            taken = 1 + stock.above.pop(path, 0)
            stock.total -= taken
            if came:
                stock.free -= taken


def _need(stock: _Stock, path: str) -> int:
    # With a directory, all above it are known.
    if path.rpartition("/")[0] in stock.directories:
        return 1
    return 1 + sum(directory not in stock.directories for directory in _above(path))


def _above(path: str) -> list[str]:
    elements = path.split("/")
    return ["/".join(elements[:depth]) for depth in range(1, len(elements))]
