"""Events of the history that are about no file or no node."""

NO_FILE = 0  # file id of events about a run as a whole, and of events of deleted files
NO_NODE = 0  # node id of events about a run as a whole
FAILED = "failed"  # `what` of an event: an attempt that changed nothing
