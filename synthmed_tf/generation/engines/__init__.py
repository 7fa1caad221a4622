"""Engines that generate the shards of a set on several machines: the files are those of one process, byte by byte.

`Shards` is what a worker does. `cluster` decides which shards are needed and finishes the set. Each engine has a module
with one function, `run`; how work is distributed, retried and shown is left to the engine.
"""

LOCAL = "local"
"""This process, without an engine."""
ENGINES = (LOCAL, "ray", "spark", "beam")
