"""The sections of a report: each judges a `Case` and comes to an `Outcome`."""
