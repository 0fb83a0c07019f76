"""Compiles the strategy against the installed qtxconn: its headers by get_include(), its .pxd files by themselves."""

from Cython.Build import cythonize
from setuptools import Extension, setup

import qtxconn

setup(
    ext_modules=cythonize(
        [
            Extension(
                "imbalance_strategy.strategy",
                ["imbalance_strategy/strategy.pyx"],
                language="c++",
                include_dirs=[qtxconn.get_include()],
                extra_compile_args=["-std=c++17", "-O2"],
            )
        ],
        compiler_directives={"language_level": 3},
    )
)
