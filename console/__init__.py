"""The web page of a fleet: what is wrong, since when, why, and the button that stops it."""
