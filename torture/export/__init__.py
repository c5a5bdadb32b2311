"""Hands a failure over in forms that maintainers already use: a bundle, a C program, an fstests test, a mail.

`source` is what is exported; `recipe` says what of a plan the C program can do; `program` writes it from the pieces in
`calls` and the text in `body`, which `script` and `fstests` drive; `mail` and `bundle` need no program; `command` is
the rim.
"""
