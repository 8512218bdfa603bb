#include "knative/functions.hpp"

namespace knative {

struct FunctionTable::Impl {
  std::map<std::string, std::shared_ptr<const Function>, std::less<>> functions;
  std::map<std::string, std::shared_ptr<const ProgramFunction>, std::less<>> programs;
};

namespace {

template <class Map>
typename Map::mapped_type find_in(const Map& map, std::string_view name) {
  const auto found = map.find(name);
  return found == map.end() ? nullptr : found->second;
}

template <class Map>
std::vector<std::string> names_of(const Map& map) {
  std::vector<std::string> names;
  names.reserve(map.size());
  for (const auto& [name, function] : map) names.push_back(name);
  return names;
}

}  // namespace

FunctionTable::FunctionTable() : impl_(std::make_shared<Impl>()) {}
FunctionTable::~FunctionTable() = default;
FunctionTable::FunctionTable(FunctionTable&&) noexcept = default;
FunctionTable& FunctionTable::operator=(FunctionTable&&) noexcept = default;

FunctionTable FunctionTable::share() const {
  FunctionTable other;
  other.impl_ = impl_;
  return other;
}

void FunctionTable::add(std::string name, std::shared_ptr<const Function> function) {
  KN_ASSERT(function != nullptr);
  impl_->functions.insert_or_assign(std::move(name), std::move(function));
}

void FunctionTable::program(std::string name, ProgramFunction function) {
  KN_ASSERT(function != nullptr);
  impl_->programs.insert_or_assign(std::move(name),
                                   std::make_shared<const ProgramFunction>(std::move(function)));
}

std::shared_ptr<const Function> FunctionTable::find(std::string_view name) const {
  return find_in(impl_->functions, name);
}

std::shared_ptr<const ProgramFunction> FunctionTable::find_program(std::string_view name) const {
  return find_in(impl_->programs, name);
}

std::vector<std::string> FunctionTable::names() const { return names_of(impl_->functions); }
std::vector<std::string> FunctionTable::program_names() const { return names_of(impl_->programs); }

}  // namespace knative
