// Of what the kernel shows as files, what a container does not see or change.
#pragma once

#include <array>

namespace knative::base {

inline constexpr std::array<const char*, 11> masked_files = {
    "/proc/kcore",       "/proc/keys",        "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/interrupts",    "/proc/kmsg",
    "/proc/kallsyms",    "/proc/vmallocinfo", "/proc/sysrq-trigger"};
inline constexpr std::array<const char*, 5> masked_folders = {
    "/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"};
inline constexpr std::array<const char*, 4> read_only_paths = {"/proc/bus", "/proc/fs", "/proc/irq",
                                                               "/proc/sys"};

}  // namespace knative::base
