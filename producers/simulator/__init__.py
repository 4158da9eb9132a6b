"""A fleet of simulated agents that speaks through the real SDK, in a time of its own."""

from .fleet import Fleet, FleetProgress
from .settings import FleetSettings, Incident, Profile

__all__ = ["Fleet", "FleetProgress", "FleetSettings", "Incident", "Profile"]
