"""Size: what is large is done within bounds, or refused before it is begun."""
