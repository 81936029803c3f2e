"""This file is the errors that a user should read: a sentence, no traceback, exit code 2."""


class BadInput(ValueError):
    """What was asked for cannot be done; the message names the field, the value and the choices."""


class Busy(BadInput):
    """What was asked for is being done, by another process."""
