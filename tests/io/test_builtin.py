"""The built-in storage classes."""

from alpenhorn.io.base import BatchTapeNode
from alpenhorn.io.builtin import BUILT_IN, built_in
from alpenhorn.model.nodes import BUILT_IN_CLASSES, may_have_tape


def test_no_built_in_class_puts_files_on_tape_in_batches() -> None:
    """Nothing about tape is read or recorded for their nodes."""
    assert set(BUILT_IN) == BUILT_IN_CLASSES
    for name in BUILT_IN:
        node = built_in(name).node
        assert not may_have_tape(name) and (node is None or not issubclass(node, BatchTapeNode))
