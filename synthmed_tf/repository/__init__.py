"""SynthMed, the repository: sets that can be found, trusted, loaded and withdrawn. Nothing here trains or draws."""
