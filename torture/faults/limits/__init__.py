"""The workers are limited, or killed; nothing is wrong with the disk."""
