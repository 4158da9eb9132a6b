"""What can stand in the local stack's way."""


class StackError(RuntimeError):
    """The local stack cannot do what was asked; the message says what is wrong, where, and what to do."""
