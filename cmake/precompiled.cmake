# The standard headers that nearly every source includes, compiled once per target. Headers of the
# project are not among them: they change, and a change must rebuild only who includes them.
set(KNATIVE_PRECOMPILED
  <algorithm> <array> <charconv> <chrono> <concepts> <coroutine> <cstddef> <cstdint> <cstring>
  <deque> <exception> <functional> <map> <memory> <optional> <set> <span> <string> <string_view>
  <tuple> <type_traits> <unordered_map> <utility> <variant> <vector>)
