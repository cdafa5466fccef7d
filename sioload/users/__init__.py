"""Simulated users: the Locust `User`, its handlers, pacing."""
