# How a clean build is made cheaper.

# The standard headers that nearly every source includes, compiled once per target. Headers of the
# project are not among them: they change, and a change must rebuild only who includes them.
set(KNATIVE_PRECOMPILED
  <algorithm> <array> <charconv> <chrono> <concepts> <coroutine> <cstddef> <cstdint> <cstring>
  <deque> <exception> <functional> <map> <memory> <optional> <set> <span> <string> <string_view>
  <tuple> <type_traits> <unordered_map> <utility> <variant> <vector>)

# So many sources of a target at a time, in KNATIVE_UNITY builds. Names in anonymous namespaces then
# meet; tests of one program, and rooms of the library, do not share any.
function(knative_unity target number)
  if(KNATIVE_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE ${number})
    # A type of an anonymous namespace is a member all the same: nobody else includes the source.
    # And GCC inlines in proportion to the size of a unit once that is large: as much is inlined as
    # in a unit for each source, else filters and fan-out cost a quarter more. With all that inlined
    # it takes the variant of a moved Value for uninitialised.
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      target_compile_options(${target} PRIVATE -Wno-subobject-linkage -Wno-maybe-uninitialized
                             "SHELL:--param large-unit-insns=1000000")
    endif()
  endif()
endfunction()
