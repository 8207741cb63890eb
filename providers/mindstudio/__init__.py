"""MindStudio: agents, single steps and tasks, run there and waited for."""

from providers.mindstudio.adapter import PROVIDER

__all__ = ["PROVIDER"]
