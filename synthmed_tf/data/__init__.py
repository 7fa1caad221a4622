"""Photographs and masks: where they lie, how they are read, and how they reach the training step."""
