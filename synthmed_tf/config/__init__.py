"""The configuration of a run: schema, presets, and reading YAML, JSON and overrides."""
