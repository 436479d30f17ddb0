"""Simulate years of an observatory's archive with the program itself; see `bin/simulate`."""
