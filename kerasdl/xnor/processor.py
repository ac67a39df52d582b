"""The processor for which numba compiles, which need not do all it could; how it compiles, and what it is given."""

import functools
import os
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba.core.registry import cpu_target

_PROBE = """
define void @probe(ptr %at) {{
  %value = load <{lanes} x i{bits}>, ptr %at
  %count = call <{lanes} x i{bits}> @llvm.ctpop.v{lanes}i{bits}(<{lanes} x i{bits}> %value)
  store <{lanes} x i{bits}> %count, ptr %at
  ret void
}}
declare <{lanes} x i{bits}> @llvm.ctpop.v{lanes}i{bits}(<{lanes} x i{bits}>)
"""


def _assembly(lanes: int, bits: int) -> str:
    """What LLVM makes of a population count over a vector, with numba's choice of processor and features."""
    triple, processor, features = cpu_target.target_context.codegen().magic_tuple()
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=processor, features=features, opt=3)
    module = llvm.parse_assembly(_PROBE.format(lanes=lanes, bits=bits))
    module.triple = triple
    return machine.emit_assembly(module)


@functools.cache
def vector_kind() -> str:
    """Which of the tiles suits: "avx512", "avx512bw", "avx2" or, for every other processor, "portable".

    "avx512" has an instruction that counts the bits of words (VPOPCNTDQ); the two next look up those of bytes.

    LLVM itself is asked, by compiling a population count: a processor may be named (`NUMBA_CPU_NAME`) without its
    features being listed anywhere, features may be switched off (`NUMBA_CPU_FEATURES`), and `/proc/cpuinfo` knows of
    neither.
    """
    for kind, shape, instruction, register in (
        ("avx512", (8, 64), "vpopcntq", "%zmm"),
        ("avx512bw", (64, 8), "vpshufb", "%zmm"),
        ("avx2", (32, 8), "vpshufb", "%ymm"),
    ):
        assembly = _assembly(*shape)
        if instruction in assembly and register in assembly:
            return kind
    return "portable"


def _start_threads() -> None:
    """Starts numba's threads so that they wait for work only shortly before they sleep.

    GNU OpenMP lets a thread that has nothing to do turn in a loop for some milliseconds, 300,000 times; it then keeps a
    core from TensorFlow, whose layers stand between ours: the first convolution of `xnor_resnet18` took twice as long.
    3,000 times last longer than the pauses between our own steps. Whoever sets one of the two variables decides.
    """
    if {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & set(os.environ):
        return
    os.environ["GOMP_SPINCOUNT"] = "3000"  # Read once, when the library is loaded.
    try:
        numba.get_num_threads()
    finally:
        del os.environ["GOMP_SPINCOUNT"]


_start_threads()


def compiled(**options: Any) -> Any:
    """As `numba.njit`, without the global lock, and kept on disk where a folder for it can be written.

    Beside the source, or else in the user's cache (or where `NUMBA_CACHE_DIR` says): where neither can be written numba
    refuses, and a program would not run at all.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:
            return numba.njit(nogil=True, **options)(function)

    return decorate


def read_only(values: np.ndarray, dtype: Any = None) -> np.ndarray:
    """The same numbers in C order, not to be written to: a view where they are so already, or else a copy.

    Inputs of compiled functions are given so: numba compiles anew for each mixture of arrays that can be written and
    that cannot.

    Example:
        >>> values = np.zeros(3, "float32")
        >>> view = read_only(values)
        >>> values.flags.writeable, view.flags.writeable, np.shares_memory(values, view)
        (True, False, True)
    """
    view = np.ascontiguousarray(values, dtype).view()
    view.setflags(write=False)
    return view
