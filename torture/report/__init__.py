"""What a run found, for people (`summary`) and for machines (`document`); `cells` and `groups` do the counting."""
