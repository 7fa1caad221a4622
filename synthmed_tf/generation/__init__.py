"""Generation of pairs and of sets from an exported model; nothing here trains."""
