"""Tells people of anomalies: one message an episode, one when it is over, whatever fails or restarts meanwhile.

Each receiver reads `agent.anomalies` by itself, in a group and a thread of its own. So one that is away holds up none
of the others, and gets what it missed from where it stopped. `outbox` and `standing` decide what is said and when,
without clocks or sockets; `senders/` say it; `deliver` is the loop around both; `app` starts them all.
"""
