"""The Faust app that watches the stream. One verb a file; `app.py` only wires.

An event's way: `transport` (Kafka batch → frame) → `decode` (frame → columns) → `partition` (the fold:
`runs` drops repeats and keeps each run's recent calls, `loops` judges them, `windows` tallies) → `emit`
(anomalies and window parts → topics) → `merge` (parts → windows) → `drift` (windows → episodes) → `emit`.
"""
