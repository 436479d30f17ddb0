"""The package's own table in the data index."""

from __future__ import annotations

import peewee as pw

from alpenhorn.index.components import Component, PackageTable


class Observation(PackageTable):
    file_id = pw.IntegerField(unique=True)
    target = pw.CharField(max_length=64, index=True)
    night = pw.CharField(max_length=16)

    class Meta:
        table_name = "example_observation"


COMPONENT = Component(name="alpenhorn-example", version=1, models=(Observation,))
