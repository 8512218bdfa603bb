#include "native.hpp"

namespace native {

py::object to_python(const knative::Value& value) {
  if (const bool* flag = value.if_bool()) return py::bool_(*flag);
  if (const std::int64_t* number = value.if_int()) return py::int_(*number);
  if (const double* number = value.if_double()) return py::float_(*number);
  if (const std::string* text = value.if_string()) return py::str(*text);
  if (const knative::Value::List* list = value.if_list()) {
    py::list result;
    for (const knative::Value& element : *list) result.append(to_python(element));
    return result;
  }
  if (const knative::Value::Map* map = value.if_map()) {
    py::dict result;
    for (const auto& [key, element] : *map) result[py::str(key)] = to_python(element);
    return result;
  }
  return py::none();
}

knative::Value from_python(const py::handle& object) {
  if (object.is_none()) return knative::Value();
  if (py::isinstance<py::bool_>(object)) return knative::Value(object.cast<bool>());
  if (py::isinstance<py::int_>(object)) return knative::Value(object.cast<std::int64_t>());
  if (py::isinstance<py::float_>(object)) return knative::Value(object.cast<double>());
  if (py::isinstance<py::str>(object)) return knative::Value(object.cast<std::string>());
  if (py::isinstance<py::dict>(object)) {
    knative::Value::Map map;
    for (const auto& [key, element] : py::reinterpret_borrow<py::dict>(object)) {
      map[py::cast<std::string>(key)] = from_python(element);
    }
    return map;
  }
  if (py::isinstance<py::list>(object) || py::isinstance<py::tuple>(object)) {
    knative::Value::List list;
    for (const py::handle& element : object) list.push_back(from_python(element));
    return list;
  }
  throw py::type_error("cannot be a JSON value: " +
                       py::repr(py::type::handle_of(object)).cast<std::string>());
}

}  // namespace native
