"""Faults against the whole pipeline, and an account of every event: `python -m tests.chaos --help`.

`plant` runs everything; `load` and `agent` write events and their ledgers; `faults` does harm at moments that a seed
chooses; `watch` notes what is seen meanwhile; `verify` holds the store against the ledgers.
"""
