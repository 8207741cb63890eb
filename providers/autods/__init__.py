"""AutoDS: a shop's products and orders."""

from providers.autods.adapter import PROVIDER

__all__ = ["PROVIDER"]
