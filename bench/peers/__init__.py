"""What runwatch is measured beside: each a program of its own, `python -m runwatch.bench.peers.NAME ARGUMENTS…`.

Each is written as its documentation recommends and at the best settings that we know of; where a setting
made a difference, a comment says so. A better one is welcome.
"""
