#include "exchange.hpp"
#include "host.hpp"

namespace native {

namespace http = knative::http;

namespace {

http::Response call_function(const Callable& function, http::Request& request) {
  return call_python([&] {
    const py::object result = function.get()(copy_of(request));
    return copy_of(result.cast<const http::Response&>());
  });
}

// An `async def` function: asked on the messenger's thread, answered from the user's event loop.
class AsyncFunction final : public knative::Function {
 public:
  AsyncFunction(Callable function, Operation::Post post, std::shared_ptr<Messenger> messenger)
      : function_(std::move(function)), post_(std::move(post)), messenger_(std::move(messenger)) {}

  knative::Task<http::Response> call(http::Request& request,
                                     const knative::FunctionContext& context) const override {
    std::optional<http::Response> refused = co_await read_body(request, context);
    if (refused) co_return std::move(*refused);
    auto copy = std::make_shared<http::Request>(copy_of(request));
    auto exchange = std::make_shared<Exchange<http::Response>>(post_, messenger_);
    knative::Task<http::Response> answer = ask_python(exchange, function_, copy);
    co_return co_await std::move(answer);
  }

 private:
  Callable function_;
  Operation::Post post_;
  std::shared_ptr<Messenger> messenger_;
};

knative::Reply reply_of(const py::object& result) {
  return result.is_none() ? knative::Reply() : knative::Reply(result.cast<knative::CloudEvent>());
}

// A subscriber that may block runs beside the loop.
knative::Task<knative::Reply> deliver(Callable function, knative::Offload& offload,
                                      const knative::CloudEvent& event) {
  auto copy = std::make_shared<const knative::CloudEvent>(event);
  std::function<knative::Reply()> work = [function, copy] {
    return call_python([&] { return reply_of(function.get()(*copy)); });
  };
  co_return co_await offload.run(work);
}

template <class T, class Wrap>
void bind_answer(py::module_& module, const char* name, Wrap value_of) {
  py::class_<Answer<T>>(module, name, "Where an `async def` function puts its answer.")
      .def(
          "finish",
          [value_of](Answer<T>& self, const py::object& value) { self.finish(value_of(value)); },
          py::arg("value"))
      .def(
          "fail",
          [](Answer<T>& self, const py::object& error) { self.fail(native_exception(error)); },
          py::arg("error"))
      .def("on_cancel", &Answer<T>::on_cancel, py::arg("function"),
           "Call `function()` when nobody waits any more.");
}

}  // namespace

std::vector<NamedFunction> named_functions(const py::list& list) {
  std::vector<NamedFunction> functions;
  for (const py::handle& entry : list) {
    const auto fields = entry.cast<py::tuple>();
    functions.push_back({fields[0].cast<std::string>(), Callable(fields[1].cast<py::function>()),
                         fields[2].cast<bool>()});
  }
  return functions;
}

void add_functions(knative::FunctionTable& table, const std::vector<NamedFunction>& functions,
                   const Operation::Post& post, const std::shared_ptr<Messenger>& messenger) {
  for (const NamedFunction& entry : functions) {
    if (entry.asynchronous) {
      table.add(entry.name, std::make_shared<AsyncFunction>(entry.function, post, messenger));
    } else {
      table.http_blocking(entry.name, [function = entry.function](http::Request& request) {
        return call_function(function, request);
      });
    }
  }
}

knative::EventHandler event_handler(const Callable& function, bool asynchronous,
                                    knative::Offload& offload, const Operation::Post& post,
                                    const std::shared_ptr<Messenger>& messenger) {
  if (!asynchronous) {
    return [function, &offload](const knative::CloudEvent& event) {
      return deliver(function, offload, event);
    };
  }
  return [function, post, messenger](const knative::CloudEvent& event) {
    return ask_python(std::make_shared<Exchange<knative::Reply>>(post, messenger), function,
                      std::make_shared<knative::CloudEvent>(event));
  };
}

void bind_workload(py::module_& module) {
  bind_answer<http::Response>(module, "ResponseAnswer", [](const py::object& value) {
    return copy_of(value.cast<const http::Response&>());
  });
  bind_answer<knative::Reply>(module, "ReplyAnswer", &reply_of);
}

}  // namespace native
