#include <cmath>
#include <optional>

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

namespace {

constexpr std::size_t values_max = 1'000'000;
constexpr std::size_t place_bytes_max = 200;

// Reads one value; every step knows the way to it, for messages.
class Reader {
 public:
  explicit Reader(std::string_view name) : name_(name) {}

  knative::Value read(const py::handle& object) {
    if (++values_ > values_max) {
      refuse(PyExc_ValueError, "more than " + std::to_string(values_max) + " values");
    }
    if (object.is_none()) return knative::Value();
    if (PyBool_Check(object.ptr())) return knative::Value(object.ptr() == Py_True);
    if (PyLong_Check(object.ptr())) return knative::Value(integer(object));
    if (PyFloat_Check(object.ptr())) return knative::Value(real(object));
    if (PyUnicode_Check(object.ptr())) return knative::Value(text(object));
    if (PyDict_Check(object.ptr())) return map(py::reinterpret_borrow<py::dict>(object));
    if (PyList_Check(object.ptr()) || PyTuple_Check(object.ptr())) return list(object);
    refuse(PyExc_TypeError, "a " + type_of(object) + " is no JSON value");
  }

 private:
  // A step of the way: the container, and the key or index that is being read.
  struct Step {
    const void* container;
    std::string key;
    std::optional<std::size_t> index;
  };

  static std::string type_of(const py::handle& object) { return Py_TYPE(object.ptr())->tp_name; }

  std::string place() const {
    std::string out = name_;
    for (const Step& step : way_) {
      if (out.size() > place_bytes_max) return out + "...";
      if (step.index) {
        out += "[" + std::to_string(*step.index) + "]";
      } else if (!step.key.empty()) {
        out += "." + step.key;
      }
    }
    return out;
  }

  [[noreturn]] void refuse(PyObject* type, const std::string& what) const {
    const std::string message = place() + ": " + what;
    // The way may hold what was cut in the middle of a character.
    const auto shown = py::reinterpret_steal<py::object>(
        PyUnicode_DecodeUTF8(message.data(), static_cast<Py_ssize_t>(message.size()), "replace"));
    PyErr_SetObject(type, shown.ptr());
    throw py::error_already_set();
  }

  std::int64_t integer(const py::handle& object) const {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(object.ptr(), &overflow);
    if (overflow != 0) refuse(PyExc_ValueError, "an integer of more than 64 bits");
    if (number == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
    return number;
  }

  double real(const py::handle& object) const {
    const double number = PyFloat_AS_DOUBLE(object.ptr());
    if (!std::isfinite(number)) refuse(PyExc_ValueError, "JSON has no NaN and no infinity");
    return number;
  }

  std::string text(const py::handle& object) const {
    Py_ssize_t size = 0;
    const char* bytes = PyUnicode_AsUTF8AndSize(object.ptr(), &size);
    if (bytes == nullptr) {
      PyErr_Clear();
      refuse(PyExc_ValueError, "a lone surrogate cannot be written as UTF-8");
    }
    return std::string(bytes, static_cast<std::size_t>(size));
  }

  void enter(const py::handle& container) {
    for (const Step& step : way_) {
      if (step.container == container.ptr()) refuse(PyExc_ValueError, "contains itself");
    }
    if (way_.size() >= knative::JsonLimits().depth_max) {
      refuse(PyExc_ValueError,
             "nested deeper than " + std::to_string(knative::JsonLimits().depth_max));
    }
    way_.push_back({container.ptr(), {}, std::nullopt});
  }

  knative::Value map(const py::dict& dict) {
    enter(dict);
    knative::Value::Map result;
    for (const auto& [key, element] : dict) {
      way_.back().key.clear();
      if (!PyUnicode_Check(key.ptr())) {
        refuse(PyExc_TypeError, "a key is a str, not " + type_of(key));
      }
      std::string name = text(key);
      way_.back().key = name;
      result.insert_or_assign(std::move(name), read(element));
    }
    way_.pop_back();
    return result;
  }

  knative::Value list(const py::handle& sequence) {
    enter(sequence);
    knative::Value::List result;
    std::size_t index = 0;
    for (const py::handle& element : sequence) {
      way_.back().index = index++;
      result.push_back(read(element));
    }
    way_.pop_back();
    return result;
  }

  std::string name_;
  std::vector<Step> way_;
  std::size_t values_ = 0;
};

}  // namespace

knative::Value from_python(const py::handle& object, std::string_view name) {
  return Reader(name).read(object);
}

}  // namespace native
