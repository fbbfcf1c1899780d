"""Settlement: checkpoints anchored on Tempo, exactly once."""
