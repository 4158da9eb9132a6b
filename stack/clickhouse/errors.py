"""ClickHouse's errors as its HTTP interface tells them: a code, a status, a line of text."""

from __future__ import annotations

import re

_CODE = re.compile(r"Code: (\d+)\.")

# As ClickHouse's exceptionCodeToHTTPStatus has it; every other code is a 500.
_STATUS = {
    194: 401,  # REQUIRED_PASSWORD
    **dict.fromkeys((192, 193, 497, 516), 403),  # UNKNOWN_USER, WRONG_PASSWORD, ACCESS_DENIED, AUTHENTICATION_FAILED
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 81, 115), 404),  # what a statement names and nobody knows
    159: 408,  # TIMEOUT_EXCEEDED
    # What cannot be read: dates, numbers, quotes, UUIDs, syntax, data that does not fit
    **dict.fromkeys((6, 25, 26, 27, 38, 41, 42, 43, 44, 53, 62, 69, 70, 72, 117, 130, 376, 456, 457, 467, 536), 400),
    164: 500,  # READONLY
    48: 501,  # NOT_IMPLEMENTED
    202: 503,  # TOO_MANY_SIMULTANEOUS_QUERIES
    307: 413,  # TOO_MANY_BYTES
}

SYNTAX_ERROR = 62


class ClickHouseError(Exception):
    """An error as a ClickHouse client expects it.

    `message` is the whole line, ``Code: N. DB::Exception: ….``; `code` its number.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        """The HTTP status for the code."""
        return _STATUS.get(self.code, 500)


def raised(code: int, name: str, text: str) -> ClickHouseError:
    """An error of the front's own, in ClickHouse's words: ``Code: 62. DB::Exception: text. (SYNTAX_ERROR)``."""
    return ClickHouseError(code, f"Code: {code}. DB::Exception: {text}. ({name})")


def from_engine(error: Exception, version: str) -> ClickHouseError:
    """Read the code out of what the engine raised; 1002 (UNKNOWN_EXCEPTION) where it says none."""
    text = str(error).strip()
    match = _CODE.search(text)
    if match is None:
        text, code = f"Code: 1002. DB::Exception: {text or type(error).__name__}. (UNKNOWN_EXCEPTION)", 1002
    else:
        text, code = text[match.start() :], int(match.group(1))
    if "(version " not in text:
        text = f"{text} (version {version})"
    return ClickHouseError(code, text)
