"""The behaviours, by what they are about."""

from conformance.behaviours import events, requests, sessions, versions

__all__ = ["events", "requests", "sessions", "versions"]
