"""MindStudio: its developer API v2, with a few made-up agents behind it."""

from sandbox.mindstudio.platform import stand_in

__all__ = ["stand_in"]
