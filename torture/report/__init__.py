"""What a run found, for people (`summary`) and for machines (`machine`); `cells` and `groups` do the counting."""
