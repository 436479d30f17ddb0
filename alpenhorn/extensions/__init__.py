"""Storage classes, detectors and tables of installed packages, found by their entry points."""
