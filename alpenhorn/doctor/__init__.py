"""Checks of everything that a run on this host needs."""
