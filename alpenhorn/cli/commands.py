"""The table of all commands: their paths, as typed, and their summaries.

The command `node clean` is the attribute `clean` of the module `alpenhorn.cli.node.clean`.  A Python keyword gets a
trailing underscore in both, a builtin name in the attribute only: `file import` is
`alpenhorn.cli.file.import_:import_`, `file list` is `alpenhorn.cli.file.list:list_`.  A path that begins other paths is
a group, and has no module.

The summary is the first paragraph of a command's help; the docstring holds the rest.
"""

from __future__ import annotations

import builtins
import inspect
from importlib import import_module
from keyword import iskeyword

import click

COMMANDS = {
    "acq": "Create, list, show and delete acquisitions.",
    "acq create": "Create an acquisition without files.",
    "acq delete": "Delete an acquisition from the index.",
    "acq files": "List the files of an acquisition.",
    "acq list": "List acquisitions with the number and size of their files.",
    "acq show": "Show an acquisition.",
    "config": "Show, check and convert the configuration.",
    "config convert": "Convert the configuration of the alpenhorn daemon to TOML.",
    "config show": "Show each configured value with its origin.",
    "config validate": "Check the configuration for errors.",
    "crontab": "Print or install a crontab line or systemd timer for runs.",
    "db": "Create, check, back up, rebuild and upgrade the data index.",
    "db backup": "Write a backup of the index while it is in use.",
    "db check": "Check the index: version, indexes, orphan rows, clocks, server.",
    "db init": "Create the tables of the data index, or add missing ones.",
    "db rebuild": "Fill an empty index from the manifests on disks.",
    "db upgrade": "Upgrade an index that an older version made.",
    "doctor": "Check everything that a run on this host needs.",
    "export": "Write files of the archive for other programs.",
    "export bagit": "Write the files of an acquisition as a bag (BagIt).",
    "file": "Create, find, import, copy, check, pin and delete files.",
    "file clean": "Release a copy of a file for removal, or undo that.",
    "file create": "Create a file in an acquisition, without copies.",
    "file delete": "Delete files without copies from the index.",
    "file find": "List copies by place and state.",
    "file import": "Request the import of a file that is on a node.",
    "file list": "List files by where they are.",
    "file modify": "Correct the length or the MD5 sum of a file.",
    "file pin": "Protect the copies of a file from deletion.",
    "file show": "Show a file, its copies and its requests.",
    "file state": "Show or correct the recorded state of a copy.",
    "file sync": "Request a copy of a file in a group, or cancel requests.",
    "file undelete": "Bring a deleted file back from the trash of nodes.",
    "file unpin": "Remove a pin, so that copies may be deleted again.",
    "file verify": "Request a check of a copy of a file.",
    "group": "Create, change, show and fill storage groups.",
    "group autosync": "Request new copies on a node into a group automatically.",
    "group create": "Create a storage group.",
    "group list": "List storage groups.",
    "group modify": "Change the properties of a group.",
    "group rename": "Rename a group.",
    "group show": "Show a group and its nodes.",
    "group sync": "Request the files of a node into a group, or cancel requests.",
    "help": "Show a page of the manual, or the help of a command.",
    "history": "Show what happened to files and why, newest last.",
    "host": "Create, change, show and delete hosts.",
    "host create": "Create a host.",
    "host delete": "Delete a host from the index.",
    "host list": "List hosts.",
    "host modify": "Change the properties of a host.",
    "host rename": "Rename a host.",
    "host show": "Show a host and its nodes.",
    "init": "Set up an archive on this host: what to keep, and on which disks.",
    "metrics": "Print metrics for Prometheus, alert rules, or a dashboard.",
    "node": "Create, change, show, search, check and clean storage nodes.",
    "node activate": "Make a node active, so that runs on its host work on it.",
    "node autoclean": "Release copies automatically once a group has the files.",
    "node clean": "Release copies on a node for removal, or undo releases.",
    "node create": "Create a storage node.",
    "node deactivate": "Make a node inactive, so that no run uses it.",
    "node delete": "Delete a node that holds nothing from the index.",
    "node init": "Request the initialisation of a node.",
    "node list": "List storage nodes.",
    "node manifest": "Write a list of the files on a node onto the node.",
    "node modify": "Change the properties of a node.",
    "node rename": "Rename a node.",
    "node replace": "Use a new disk in place of a dead one.",
    "node retire": "Take a node out of use once its files are elsewhere.",
    "node risk": "Show what would be lost if a node died now.",
    "node scan": "Request a search of a node for files.",
    "node show": "Show a node.",
    "node stats": "Show the number and size of the files on each node.",
    "node sync": "Request the files of a node into a group, or cancel requests.",
    "node undelete": "Bring deleted files back from the trash of a node.",
    "node verify": "Request checks of the copies on a node, or cancel them.",
    "notify": "Try the notifications of runs.",
    "notify test": "Send a test message through each channel.",
    "plan": "Show what a run would do now, and why other work is pending.",
    "plugins": "List extensions, and report those that fail to load.",
    "policy": "Create, change, show and check policies for copies.",
    "policy check": "Show which files lack what policies ask for, and why.",
    "policy create": "Create a policy: how many copies, and at how many sites.",
    "policy delete": "Delete a policy.",
    "policy list": "List policies.",
    "policy modify": "Change the properties of a policy.",
    "policy show": "Show a policy.",
    "reconcile": "Compare the index with the disks of this host, and correct it.",
    "repair": "Request good copies to replace corrupt and missing ones.",
    "report": "Write a report on the archive as a web page.",
    "request": "List, show, prioritise, cancel and retry copy requests.",
    "request cancel": "Cancel pending requests.",
    "request prioritise": "Set the priority of pending requests.",
    "request list": "List copy requests, oldest first.",
    "request retry": "Let the next run retry failing requests.",
    "request show": "Show a request, its failed attempts, and why it is pending.",
    "rules": "Check the rules set by autosync and autoclean.",
    "rules check": "Find copies to which a rule has not been applied.",
    "status": "Show the state of every node, and what needs attention.",
    "sync": "Do the pending work on this host, and exit.",
}


def below(group: str) -> dict[str, str]:
    """Return the names and summaries of a group's commands; with an empty path, those of the top level."""
    prefix = f"{group} " if group else ""
    return {
        path.removeprefix(prefix): summary
        for path, summary in COMMANDS.items()
        if path.startswith(prefix) and " " not in path.removeprefix(prefix)
    }


def is_group(path: str) -> bool:
    return any(other.startswith(f"{path} ") for other in COMMANDS)


def load(path: str) -> click.Command:
    """Import a command, and set its name and summary from the table."""
    words = path.split()
    module = import_module(
        ".".join(("alpenhorn.cli", *(f"{word}_" if iskeyword(word) else word for word in words)))
    )
    name = words[-1]
    reserved = iskeyword(name) or hasattr(builtins, name)
    command: click.Command = getattr(module, f"{name}_" if reserved else name)
    command.name = name
    command.short_help = COMMANDS[path]
    details = inspect.getdoc(command.callback) if command.callback is not None else None
    command.help = "\n\n".join(filter(None, (COMMANDS[path], details)))
    return command
