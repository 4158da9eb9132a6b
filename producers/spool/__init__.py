"""Events on disk: what waits for a broker that is away outlives the agent.

A spool is a folder of one process: append-only segments of checksummed blocks (`blocks`, `segments`), up to where they
are delivered (`cursor`), and a lock that ends with the process (`claims`), so that a later one can take it over.
`spooled` is the way out that stands between the sender and Kafka.
"""
