"""Errors that a user can act on: one line that names the thing, the value and the remedy."""


class Cc100Error(Exception):
    """Base of all errors that are shown to the user as one line, without a traceback."""


class ConfigurationError(Cc100Error, ValueError):
    """A setting or an argument is wrong; nothing was started."""


class InputError(Cc100Error):
    """An input cannot be found or used."""


class DamagedFileError(Cc100Error):
    """A file that an earlier step wrote is missing or cannot be read."""


class StorageError(Cc100Error):
    """A file system refused to read, write, list or delete."""


class LockedError(Cc100Error):
    """Another process works on the same output folder."""
