"""What the workers do to mappings: layouts, pins, access paths, syncs, disturbances, and the workers themselves."""
