"""The data doctor: what `synthmed data check` looks for."""
