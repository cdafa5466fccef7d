"""What a script holds, and what keeps it connected."""
