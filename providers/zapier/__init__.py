"""Zapier: events go to its webhooks."""

from providers.zapier.adapter import PROVIDER, reverse_unsubscribe, unsubscribe_request

__all__ = ["PROVIDER", "reverse_unsubscribe", "unsubscribe_request"]
