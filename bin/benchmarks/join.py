"""Read the rows that `alpenhorn plan` needs with one SQL join, in a process of its own: python join.py INDEX"""

import sqlite3
import sys

STATEMENT = """
SELECT r.id, r.file_id, a.name, f.name, f.size_b, f.md5sum, r.node_from_id, s.has_file, s.ready,
       r.group_to_id, n.id, d.has_file
FROM archivefilecopyrequest r
JOIN archivefile f ON f.id = r.file_id
JOIN archiveacq a ON a.id = f.acq_id
LEFT JOIN archivefilecopy s ON s.file_id = r.file_id AND s.node_id = r.node_from_id
JOIN storagenode n ON n.group_id = r.group_to_id
LEFT JOIN archivefilecopy d ON d.file_id = r.file_id AND d.node_id = n.id
WHERE r.completed = 0 AND r.cancelled = 0
"""

database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
print(sum(1 for _ in database.execute(STATEMENT)))
