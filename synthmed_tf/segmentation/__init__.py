"""Vessel masks for photographs that have none."""
