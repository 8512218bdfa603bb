/// \file
/// Counts allocations of a benchmark program. Include it in exactly one source of the program.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace knative_bench {

inline std::atomic<std::uint64_t> allocations{0};

}  // namespace knative_bench

// Not inlined: the compiler would take malloc and free for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  knative_bench::allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
