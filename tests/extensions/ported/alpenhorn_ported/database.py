"""The site's connection to its database, which alpenhorn uses as its index.

The environment variable SITE_DATABASE names a JSON file: {"sqlite": PATH}, or {"mysql": NAME} with the parameters of
the driver.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import peewee as pw

from alpenhorn.index.connector import Connector

proxy = pw.DatabaseProxy()  # of the site's models


def connect() -> pw.Database:
    """Return the site's database; the same one each time, which alpenhorn connects."""
    if proxy.obj is None:
        settings = json.loads(Path(os.environ["SITE_DATABASE"]).read_text())
        path, name = settings.pop("sqlite", None), settings.pop("mysql", None)
        proxy.initialize(pw.SqliteDatabase(path) if path else pw.MySQLDatabase(name, **settings))
    found: pw.Database = proxy.obj
    return found


CONNECTOR = Connector(connect)
