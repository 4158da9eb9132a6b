"""What no single run shows: the same call failing for many runs, a tool that is retried all over the fleet, runs that
hand their work back and forth.

Runs are spread over the partitions of the event topic, so that no partition sees the fleet. Each tallies its part of
every window (`tally`) and sends it once the window is over; one place merges the parts (`merge`) and judges whole
windows (`judge`: `failing`, `storms`, `handoffs`).
"""
