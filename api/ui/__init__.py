"""The pages under `/ui`: what people see of the mesh, and what they may change."""

from api.ui.site import install

__all__ = ["install"]
