"""One trial, in the guest: requirements, workers, the fault, the remount, what is observed."""
