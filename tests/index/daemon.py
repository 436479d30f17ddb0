"""The index as the alpenhorn daemon makes it (schema version 2), with nothing of ours."""

from __future__ import annotations

from alpenhorn.index.connection import Index

# {id} and {enum} stand for what differs between the engines.
TABLES = {
    "dataindexversion": "{id}, component VARCHAR(256) NOT NULL, version INTEGER NOT NULL",
    "storagehost": "{id}, name VARCHAR(64) NOT NULL, username VARCHAR(64), address VARCHAR(255), notes TEXT",
    "storagegroup": "{id}, name VARCHAR(64) NOT NULL, io_class VARCHAR(255), notes TEXT, io_config TEXT",
    "storagenode": "{id}, name VARCHAR(64) NOT NULL, root VARCHAR(255), host_id INTEGER, "
    "io_class VARCHAR(255), group_id INTEGER NOT NULL, active {bool} NOT NULL, auto_import {bool} NOT NULL, "
    "auto_verify INTEGER NOT NULL, archive {bool} NOT NULL, max_total_gb {float}, "
    "min_avail_gb {float} NOT NULL, avail_gb {float}, avail_gb_last_checked DATETIME, notes TEXT, "
    "io_config TEXT, FOREIGN KEY (host_id) REFERENCES storagehost (id), "
    "FOREIGN KEY (group_id) REFERENCES storagegroup (id)",
    "archiveacq": "{id}, name VARCHAR(64) NOT NULL, comment TEXT",
    "archivefile": "{id}, acq_id INTEGER NOT NULL, name VARCHAR(255) NOT NULL, size_b {bigint}, "
    "md5sum VARCHAR(32), registered DATETIME NOT NULL, FOREIGN KEY (acq_id) REFERENCES archiveacq (id)",
    "archivefilecopy": "{id}, file_id INTEGER NOT NULL, node_id INTEGER NOT NULL, has_file {has} NOT NULL, "
    "wants_file {wants} NOT NULL, ready {bool} NOT NULL, size_b {bigint}, last_update DATETIME NOT NULL, "
    "FOREIGN KEY (file_id) REFERENCES archivefile (id), FOREIGN KEY (node_id) REFERENCES storagenode (id)",
    "archivefilecopyrequest": "{id}, file_id INTEGER NOT NULL, group_to_id INTEGER NOT NULL, "
    "node_from_id INTEGER NOT NULL, completed {bool} NOT NULL, cancelled {bool} NOT NULL, "
    "timestamp DATETIME, transfer_started DATETIME, transfer_completed DATETIME, "
    "FOREIGN KEY (file_id) REFERENCES archivefile (id), "
    "FOREIGN KEY (group_to_id) REFERENCES storagegroup (id), "
    "FOREIGN KEY (node_from_id) REFERENCES storagenode (id)",
    "archivefileimportrequest": "{id}, node_id INTEGER NOT NULL, path VARCHAR(1024) NOT NULL, "
    "recurse {bool} NOT NULL, register {bool} NOT NULL, completed {bool} NOT NULL, timestamp DATETIME, "
    "FOREIGN KEY (node_id) REFERENCES storagenode (id)",
    "storagetransferaction": "{id}, node_from_id INTEGER NOT NULL, group_to_id INTEGER NOT NULL, "
    "autosync {bool} NOT NULL, autoclean {bool} NOT NULL, "
    "FOREIGN KEY (node_from_id) REFERENCES storagenode (id), "
    "FOREIGN KEY (group_to_id) REFERENCES storagegroup (id)",
}
DAEMON_TABLES = tuple(TABLES)

INDEXES = (
    "CREATE UNIQUE INDEX dataindexversion_component ON dataindexversion (component)",
    "CREATE UNIQUE INDEX storagehost_name ON storagehost (name)",
    "CREATE UNIQUE INDEX storagegroup_name ON storagegroup (name)",
    "CREATE UNIQUE INDEX storagenode_name ON storagenode (name)",
    "CREATE INDEX storagenode_host_id ON storagenode (host_id)",
    "CREATE INDEX storagenode_group_id ON storagenode (group_id)",
    "CREATE UNIQUE INDEX archiveacq_name ON archiveacq (name)",
    "CREATE INDEX archivefile_acq_id ON archivefile (acq_id)",
    "CREATE UNIQUE INDEX archivefile_acq_id_name ON archivefile (acq_id, name)",
    "CREATE INDEX archivefilecopy_file_id ON archivefilecopy (file_id)",
    "CREATE INDEX archivefilecopy_node_id ON archivefilecopy (node_id)",
    "CREATE UNIQUE INDEX archivefilecopy_file_id_node_id ON archivefilecopy (file_id, node_id)",
    "CREATE INDEX archivefilecopyrequest_file_id ON archivefilecopyrequest (file_id)",
    "CREATE INDEX archivefilecopyrequest_group_to_id ON archivefilecopyrequest (group_to_id)",
    "CREATE INDEX archivefilecopyrequest_node_from_id ON archivefilecopyrequest (node_from_id)",
    "CREATE INDEX archivefilecopyrequest_file_id_group_to_id_node_from_id ON archivefilecopyrequest "
    "(file_id, group_to_id, node_from_id)",
    "CREATE INDEX archivefileimportrequest_node_id ON archivefileimportrequest (node_id)",
    "CREATE INDEX storagetransferaction_node_from_id ON storagetransferaction (node_from_id)",
    "CREATE INDEX storagetransferaction_group_to_id ON storagetransferaction (group_to_id)",
    "CREATE UNIQUE INDEX storagetransferaction_node_from_id_group_to_id ON storagetransferaction "
    "(node_from_id, group_to_id)",
)

SQLITE = {
    "id": "id INTEGER NOT NULL PRIMARY KEY",
    "bool": "INTEGER",
    "float": "REAL",
    "bigint": "INTEGER",
    "has": "VARCHAR(1)",
    "wants": "VARCHAR(1)",
}
MARIADB = {
    "id": "id INTEGER AUTO_INCREMENT NOT NULL PRIMARY KEY",
    "bool": "BOOL",
    "float": "FLOAT",
    "bigint": "BIGINT",
    "has": "ENUM('N', 'Y', 'M', 'X')",
    "wants": "ENUM('Y', 'M', 'N')",
}


def make_daemon_index(index: Index) -> None:
    """Make it in an empty database, with the server's default collation."""
    words = SQLITE if index.dialect.in_a_file else MARIADB
    for name, columns in TABLES.items():
        index.execute(f"CREATE TABLE {name} ({columns.format(**words)})")
    for statement in INDEXES:
        index.execute(statement)
    index.execute("INSERT INTO dataindexversion (component, version) VALUES ('alpenhorn', 2)")
