"""What is made of the figures when they are looked at: merged, judged, written."""
