"""Hands a failure over in forms that maintainers already use: a bundle, a C program, an fstests test, a mail.

`export_command` reads the options and finds the `failure` to be exported. `mail` and `bundle` write it down as it is.
For a C program, `exportable` checks that one can be written for the plan; `program` puts it together from `program.c.in`,
`pieces.c.in` and `c_snippets` (with their functions in `snippets.c.in`), with the `files` that the plan lays out; `script`
(`c`) or `fstests` writes the shell that drives it.
Whatever is put into code of any language goes through `quoting`.
"""
