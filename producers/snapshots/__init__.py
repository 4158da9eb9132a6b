"""Arguments and results for who turned them on: redacted here, sealed here, and only then sent."""
