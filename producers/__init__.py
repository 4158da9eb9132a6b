"""What runs inside an agent: runs, their events, and how these reach Kafka; importers; the fleet simulator."""
