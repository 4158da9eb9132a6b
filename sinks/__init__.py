"""Kafka into ClickHouse: numbered migrations, the exactly-once sink, and reading back."""
