"""Commands to agents: whom they bind, which are in force, how they are read, followed and sent."""
