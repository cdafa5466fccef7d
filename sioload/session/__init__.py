"""One Engine.IO session on sockets: opening, transports, upgrade, end."""
