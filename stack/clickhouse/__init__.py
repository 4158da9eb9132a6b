"""ClickHouse as a local server: chdb behind ClickHouse's own HTTP interface.

``python -m runwatch.stack.clickhouse --path DIR`` starts it. Clients use it as they use a ClickHouse server:
the same URL parameters, headers, formats, compressed bodies and error codes.
"""
