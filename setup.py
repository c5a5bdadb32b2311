"""Builds the native cores; everything else about the package stands in pyproject.toml."""

from setuptools import Extension, setup


def core(name: str, source: str) -> Extension:
    """An extension in the stable ABI, so one build serves every Python from 3.11 on."""
    return Extension(
        name,
        [source],
        define_macros=[("Py_LIMITED_API", "0x030B0000")],
        extra_compile_args=["-O3", "-std=gnu11", "-Wall", "-Wextra", "-Werror=implicit-function-declaration"],
        py_limited_api=True,
    )


setup(
    ext_modules=[
        core("verify._stamp", "verify/_stamp.c"),
        core("workloads._access", "workloads/_access.c"),
        # Not a Python module: preloaded into User-mode Linux, see its first comment.
        core("torture.lab._xstate", "torture/lab/_xstate.c"),
    ],
)
