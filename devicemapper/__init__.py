"""The block stack: external commands, loop devices, device-mapper tables and devices, mounts, uevents."""
