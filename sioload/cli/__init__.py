"""The `sioload` command: arguments in, calls out."""
