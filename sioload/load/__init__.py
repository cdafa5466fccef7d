"""What load is made: phases and sessions over time."""
