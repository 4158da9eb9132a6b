"""What cannot be read: when there is so much of it that a topic is not read on, and how that is said."""
