"""sioload inside a test suite: a load test as a function that returns its report, and a plugin for pytest."""
