"""The reader's side of a repository."""
