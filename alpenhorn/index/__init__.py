"""The SQL index: connection, tables, versions, and what differs between SQLite and MariaDB."""
