"""Faults that only plans made for them name (torture.contract): no draw takes them."""
