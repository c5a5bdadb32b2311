"""From what a user asks for to plans. Pure."""
