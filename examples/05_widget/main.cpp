// A kind of a host program's own: struct, rules, controller and manifest, with public headers only.
//
// A Widget wants some parts. Its controller keeps one ConfigMap per part, names it in the status,
// and says Ready when all are there.
#include <cstdio>
#include <knative/knative.hpp>

namespace kn = knative;

namespace shop {

struct WidgetSpec {
  std::int32_t parts = 0;
  std::string colour;
  friend bool operator==(const WidgetSpec&, const WidgetSpec&) = default;
};

struct WidgetStatus {
  std::int64_t observed_generation = 0;
  kn::Conditions conditions;
  std::vector<std::string> made;
  friend bool operator==(const WidgetStatus&, const WidgetStatus&) = default;
};

struct Widget {
  static constexpr std::string_view api_version = "shop.example.dev/v1";
  static constexpr std::string_view kind = "Widget";
  kn::ObjectMeta metadata;
  WidgetSpec spec;
  WidgetStatus status;
  friend bool operator==(const Widget&, const Widget&) = default;
};

// Every field says what becomes of it.
const kn::fields::Struct& describe(const WidgetSpec*) {
  using namespace kn::fields;
  static const Field fields[] = {
      acts("parts", &WidgetSpec::parts),
      warned("colour", &WidgetSpec::colour, "widgets are grey until there are printers")};
  static const Struct description{"WidgetSpec", fields};
  return description;
}

const kn::fields::Struct& describe(const WidgetStatus*) {
  using namespace kn::fields;
  static const Field fields[] = {reported("observedGeneration", &WidgetStatus::observed_generation),
                                 reported("conditions", &WidgetStatus::conditions),
                                 reported("made", &WidgetStatus::made)};
  static const Struct description{"WidgetStatus", fields};
  return description;
}

const kn::fields::Struct& describe(const Widget*) {
  using namespace kn::fields;
  static const Field fields[] = {acts("metadata", &Widget::metadata), acts("spec", &Widget::spec),
                                 reported("status", &Widget::status)};
  static const Struct description{"Widget", fields};
  return description;
}

kn::FieldErrors validate(const Widget& widget) {
  if (widget.spec.parts >= 1 && widget.spec.parts <= 8) return {};
  return kn::FieldErrors(kn::out_of_bounds(widget.spec.parts, 1, 8, "spec.parts"));
}

const kn::KindInfo& kind_info(const Widget*) {
  static constexpr kn::KindInfo info = kn::namespaced_kind<Widget>("widgets", "wd");
  return info;
}

class WidgetReconciler final : public kn::ObjectReconciler<Widget> {
 public:
  using ObjectReconciler::ObjectReconciler;

 private:
  kn::Task<kn::Result<kn::Requeue>> step(Widget& widget, kn::Interests&) override {
    widget.status.made.clear();
    for (int part = 1; part <= widget.spec.parts; ++part) {
      kn::core::ConfigMap wanted;
      wanted.metadata.name = widget.metadata.name + "-part-" + std::to_string(part);
      wanted.metadata.namespace_ = widget.metadata.namespace_;
      wanted.metadata.owner_references = {kn::owner_reference(widget)};
      const kn::AnyObject object(wanted);
      const kn::Result<kn::AnyObject> made = co_await client().apply(object);
      if (!made) co_return made.error();
      widget.status.made.push_back(wanted.metadata.name);
    }
    kn::ConditionSet::living({}).mark_true(widget.status.conditions, "Ready", now());
    co_return kn::Requeue::never();
  }
};

class Widgets final : public kn::Extension {
 public:
  std::string_view name() const override { return "widgets"; }
  kn::Result<void> add_kinds(kn::KindRegistry& kinds) override { return kinds.add<Widget>(); }
  kn::Result<void> install(kn::Installer& into) override {
    return into.add_controller<Widget>(
        "widget", std::make_unique<WidgetReconciler>(into.context(), "widget"));
  }
};

}  // namespace shop

int main() {
  kn::FunctionTable functions;
  kn::PlatformThread platform(functions);
  platform.install(std::make_unique<shop::Widgets>()).value();
  const kn::ObjectRef ref = platform.ref<shop::Widget>("lamp");
  platform
      .apply_text(
          "apiVersion: shop.example.dev/v1\nkind: Widget\nmetadata: {name: lamp}\nspec: {parts: 3}")
      .value();
  platform.ready(ref).value();
  for (const std::string& part : platform.get<shop::Widget>("lamp").value().status.made) {
    std::printf("made %s\n", part.c_str());
  }
  const auto refused = platform.apply_text(
      "apiVersion: shop.example.dev/v1\nkind: Widget\nmetadata: {name: toy}\nspec: {parts: 9}");
  const std::string why = refused.error().detail;  // begins with the place in the manifest
  std::printf("refused: %s\n", why.substr(why.find("expected")).c_str());
}
