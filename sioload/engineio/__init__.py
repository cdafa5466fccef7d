"""Engine.IO without I/O: packets, payloads of long-polling, and the session's states."""
