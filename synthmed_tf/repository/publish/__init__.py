"""The publisher's side of a repository."""
