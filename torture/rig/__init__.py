"""What a trial is built from, in the guest: the scene, the machine, ballast, quotas, logs, the remount."""
