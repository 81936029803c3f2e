"""This file is the errors that a user should read: a sentence, no traceback, an exit code of their own."""


class BadInput(ValueError):
    """What was asked for cannot be done; the message names the field, the value and the choices. Exit code 2."""


class Busy(BadInput):
    """What was asked for is being done, by another process."""


class Missed(Exception):
    """What was asked for was done, and a figure is not as a gate wants it. Exit code 3."""
