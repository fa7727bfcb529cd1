"""What is raised for a setting that cannot be."""

from __future__ import annotations


class SettingsError(Exception):
    """A setting that cannot be; the message names it and what it takes."""
