"""Storage classes: a group chooses a node, a node acts on its storage, a remote describes a source."""
