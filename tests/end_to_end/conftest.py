"""An archive for the end of nodes: retired, lost, replaced and deleted."""

import pytest


@pytest.fixture
def three(archive):
    """A field node, and the archive nodes old, safe and new."""
    archive.node("field")
    for name in ("old", "safe", "new"):
        archive.node(name, archive=1)
    return archive
