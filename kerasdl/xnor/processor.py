"""What the processor can do for which numba compiles, which need not be all that it could."""

import functools

import llvmlite.binding as llvm
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
    """Which of the tiles suits: "avx512", "avx2" or, for every other processor, "portable".

    LLVM itself is asked, by compiling a population count: a processor may be named (`NUMBA_CPU_NAME`) without its
    features being listed anywhere, features may be switched off (`NUMBA_CPU_FEATURES`), and `/proc/cpuinfo` knows of
    neither.
    """
    if "vpopcntq" in _assembly(8, 64) and "%zmm" in _assembly(8, 64):
        return "avx512"
    octets = _assembly(32, 8)
    if "vpshufb" in octets and "%ymm" in octets:
        return "avx2"
    return "portable"
