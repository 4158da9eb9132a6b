"""A recorded run, told again: its timeline, and stand-ins for its tools that answer from the record."""
