"""The embedded local stack: Kafka, ClickHouse, a schema registry and runwatch's own parts under one supervisor."""
