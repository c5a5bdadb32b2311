"""What was not flushed is gone: power cuts, killed guests, shutdowns, and the replay of all that could have been left."""
