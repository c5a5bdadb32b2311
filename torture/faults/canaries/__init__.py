"""Planted losses, which the tool must find before a clean result is believed."""
