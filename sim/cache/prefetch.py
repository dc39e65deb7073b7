"""A hint to the processor: this element is needed soon. Memory's latency then hides behind work."""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_FOR_WRITING, _KEEP_IN_ALL_CACHES, _DATA = 1, 3, 1  # LLVM Language Reference, llvm.prefetch


def _prefetch(_: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = ir.IntType(8).as_pointer()
        hint = ir.IntType(32)
        function = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module,
            ir.FunctionType(ir.VoidType(), [address, hint, hint, hint]),
            "llvm.prefetch.p0i8",
        )
        where = builder.bitcast(builder.gep(data, [arguments[1]]), address)
        hints = [hint(value) for value in (_FOR_WRITING, _KEEP_IN_ALL_CACHES, _DATA)]
        builder.call(function, [where, *hints])
        return context.get_dummy_value()

    return types.void(array, index), generate


# For compiled code: prefetch(array, index), with a one-dimensional contiguous array.
prefetch = cast("Callable[[Any, Any], None]", intrinsic(_prefetch))
