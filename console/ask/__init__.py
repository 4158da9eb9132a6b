"""Questions to the store, each answered by a frozen dataclass; nothing here knows a web page."""
