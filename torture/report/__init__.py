"""Says what a run found. `results` has counted it; nothing here looks at a ledger or a guest.

`formats` lists the forms: `summary` for people, `campaign` for the end of a long run (with `matrix`, `coverage` and
`campaign_time`), `document` for machines.
"""
