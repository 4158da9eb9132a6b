"""Benchmarks on the real stack, beside peers: what is measured is in `parts.py`, how it is run in `run.py`.

A part gets a running broker and ClickHouse and the data, which is made once; it starts what it measures as
processes of their own and says what it found. Nothing is left running, also when the bench is killed.
"""
