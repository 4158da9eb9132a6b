"""The commands of `runwatch`: each reads its options, calls what does the work, and prints."""
