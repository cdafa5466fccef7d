"""The embedded target: a small Socket.IO server to try scenarios against and to reconcile counts with.

It stands apart: nothing here imports the client.
"""
