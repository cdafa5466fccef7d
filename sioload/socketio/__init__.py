"""Socket.IO without I/O: packets, their codecs, and the table of generations."""
