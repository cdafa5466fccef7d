"""What a run measures, without clocks, sockets or Locust: samples and times come in as arguments."""
