"""The site's tables, which its own programs create and change, in the database that has alpenhorn's tables, too."""

from __future__ import annotations

import peewee as pw

from .database import proxy


class Receiver(pw.Model):
    """A receiver of the telescope.  `pattern`: a regular expression for the names of its files."""

    name = pw.CharField(max_length=32, unique=True)
    pattern = pw.CharField(max_length=128)

    class Meta:
        database = proxy
        table_name = "site_receiver"


class Recording(pw.Model):
    """What the site keeps of an imported file.  `samples`: number in its header; `node`: where it was imported."""

    file_id = pw.IntegerField(unique=True)
    receiver = pw.ForeignKeyField(Receiver)
    samples = pw.IntegerField()
    node = pw.CharField(max_length=64)

    class Meta:
        database = proxy
        table_name = "site_recording"


class Session(pw.Model):
    """An acquisition, with its first receiver."""

    acq_id = pw.IntegerField(unique=True)
    receiver = pw.ForeignKeyField(Receiver)

    class Meta:
        database = proxy
        table_name = "site_session"
