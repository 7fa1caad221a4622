"""From trained snapshots to the artifact: SavedModel, ONNX, card and parity."""
