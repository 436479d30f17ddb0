"""Whether a node can take one more file for want of inodes, of which each file and each directory takes one."""

from __future__ import annotations

SPARE = 16  # left for stages, manifests and what the file system's owner does meanwhile


class _Stock:
    def __init__(self, free: int) -> None:
        self.free = free
        # Whether they are there already is not known here; where it matters, an inode too many is set aside for each.
        self.directories: set[str] = set()
        self.reserved: dict[str, int] = {}  # by path
        self.total = 0  # of those


class Inodes:
    """Those of a run's nodes; nodes whose file systems set no limit need not be opened."""

    def __init__(self) -> None:
        self._stocks: dict[int, _Stock] = {}

    def open(self, node_id: int, free: int | None) -> None:
        """`free`: as the node was probed, None where there is no limit or it is not known."""
        if free is not None:
            self._stocks[node_id] = _Stock(free)

    def short(self, node_id: int, path: str) -> int | None:
        """How many are left, when that is too few for a new file at `path`; None when it is enough."""
        stock = self._stocks.get(node_id)
        if stock is None:
            return None
        left = stock.free - stock.total
        return max(0, left) if left - _need(stock, path) < SPARE else None

    def reserve(self, node_id: int, path: str) -> None:
        stock = self._stocks.get(node_id)
        if stock is not None:
            stock.reserved[path] = need = _need(stock, path)
            stock.total += need
            stock.directories.update(_above(path))

    def settle(self, node_id: int, path: str, came: bool) -> None:
        """A file for which some were set aside has come, or will not come now."""
        stock = self._stocks.get(node_id)
        if stock is not None:
            taken = stock.reserved.pop(path, 0)
            stock.total -= taken
            if came:
                stock.free -= taken


def _need(stock: _Stock, path: str) -> int:
    return 1 + sum(directory not in stock.directories for directory in _above(path))


def _above(path: str) -> list[str]:
    elements = path.split("/")
    return ["/".join(elements[:depth]) for depth in range(1, len(elements))]
