"""How receivers are told: one file a kind. Each takes a message, and raises `Unsent` where it did not arrive."""
