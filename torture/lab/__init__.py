"""Where trials run: guests of User-mode Linux and qemu, this kernel, and what keeps the host safe. On the host."""
