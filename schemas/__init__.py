"""The contract: Avro schemas, typed records, wire framing, registry, topics, stop reasons."""
