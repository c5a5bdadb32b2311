"""Being here makes the modules next to it importable for the tests below: failures."""
