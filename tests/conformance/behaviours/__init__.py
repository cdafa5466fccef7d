"""The behaviours, by what they are about."""

from conformance.behaviours import events, requests, sessions

__all__ = ["events", "requests", "sessions"]
