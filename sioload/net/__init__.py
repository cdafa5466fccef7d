"""Bytes on sockets: streams, TLS, HTTP, websocket frames, deadlines, and what a process shares."""
