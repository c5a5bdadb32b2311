"""Space runs out: of blocks, inodes, quota, or of the thin pool or snapshot below the filesystem."""
