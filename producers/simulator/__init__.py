"""A fleet of simulated agents that speaks through the real SDK, in a time of its own."""

from .fleet import Fleet, FleetProgress, Used
from .settings import FleetSettings, Incident, Profile
from .task import Life, Stopped, Task

__all__ = ["Fleet", "FleetProgress", "FleetSettings", "Incident", "Life", "Profile", "Stopped", "Task", "Used"]
