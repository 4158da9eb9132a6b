"""What Prometheus is told: names in one place, counting apart from it, and the server that answers a scrape."""
