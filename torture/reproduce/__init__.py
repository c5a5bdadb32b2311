"""From one failure to a proven fix: `replay` brings it back, `shrink` cuts it down, `compare` shows what a change does.

`subject` is what they are given, `workshop` where their trials run, `signature` what makes two failures the same;
`sequential` decides, `shrinkers` and `factors` know plans, `words` builds one; `command` is the rim.
"""
