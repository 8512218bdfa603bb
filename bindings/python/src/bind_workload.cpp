#include "exchange.hpp"
#include "host.hpp"

namespace native {

namespace http = knative::http;

namespace {

// What a function is given; it may hand the count of hops on where a request goes out by itself.
http::Request shown(const http::Request& request, int hops) {
  http::Request copy = copy_of(request);
  copy.headers.set(knative::hops_header, std::to_string(hops));
  return copy;
}

// A request for Python, whole and with the hops so far; or what is answered instead.
struct Arrived {
  std::optional<http::Response> refused;
  std::shared_ptr<http::Request> request;
  int hops = 0;
};

class PythonFunction : public knative::Function {
 protected:
  static knative::Task<Arrived> arrive(http::Request& request,
                                       const knative::FunctionContext& context) {
    Arrived arrived;
    arrived.refused = co_await read_body(request, context);
    if (arrived.refused) co_return arrived;
    knative::CurrentHops here;
    arrived.hops = co_await here;
    arrived.request = std::make_shared<http::Request>(shown(request, arrived.hops));
    co_return arrived;
  }
};

// A `def`: on a worker thread. One that another function called may have to answer before that
// gives back its own thread, so it runs on a thread of its depth.
class BlockingFunction final : public PythonFunction {
 public:
  BlockingFunction(Callable function, Operation::Post post, std::shared_ptr<Levels> levels)
      : function_(std::move(function)), post_(std::move(post)), levels_(std::move(levels)) {}

  knative::Task<http::Response> call(http::Request& request,
                                     const knative::FunctionContext& context) const override {
    Arrived arrived = co_await arrive(request, context);
    if (arrived.refused) co_return std::move(*arrived.refused);
    const int hops = arrived.hops;
    std::function<http::Response()> work = [function = function_, hops,
                                            asked = std::move(arrived.request)] {
      return call_python([&] {
        const HopsScope scope(hops);
        const py::object result = function(std::move(*asked));
        return copy_of(result.cast<const http::Response&>());
      });
    };
    if (hops <= 1 || levels_ == nullptr) co_return co_await context.offload.run(work);
    auto exchange = std::make_shared<Exchange<http::Response>>(post_, nullptr);
    knative::Task<http::Response> answer = on_level(exchange, levels_, hops, std::move(work));
    co_return co_await std::move(answer);
  }

 private:
  static knative::Task<http::Response> on_level(std::shared_ptr<Exchange<http::Response>> exchange,
                                                std::shared_ptr<Levels> levels, int depth,
                                                std::function<http::Response()> work) {
    const bool begun = levels->run(depth, [exchange, work = std::move(work)] {
      std::optional<http::Response> value;
      std::exception_ptr thrown;
      try {
        value = work();
      } catch (const std::exception&) {  // not what unwinds a thread at the interpreter's end
        thrown = std::current_exception();
      }
      exchange->finish(std::move(value), std::move(thrown));
    });
    if (!begun) {
      http::Response refused = http::error_response(503, "no thread for another call");
      refused.headers.set("retry-after", "1");
      co_return refused;
    }
    co_await exchange->answered.wait();
    co_return exchange->take();
  }

  Callable function_;
  Operation::Post post_;
  std::shared_ptr<Levels> levels_;
};

// An `async def` function: asked on the messenger's thread, answered from the user's event loop.
class AsyncFunction final : public PythonFunction {
 public:
  AsyncFunction(Callable function, Operation::Post post, std::shared_ptr<Messenger> messenger)
      : function_(std::move(function)), post_(std::move(post)), messenger_(std::move(messenger)) {}

  knative::Task<http::Response> call(http::Request& request,
                                     const knative::FunctionContext& context) const override {
    Arrived arrived = co_await arrive(request, context);
    if (arrived.refused) co_return std::move(*arrived.refused);
    auto exchange = std::make_shared<Exchange<http::Response>>(post_, messenger_);
    knative::Task<http::Response> answer = ask_python(exchange, function_, arrived.request);
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
  knative::CurrentHops here;
  const int hops = co_await here;
  std::function<knative::Reply()> work = [function, copy, hops] {
    return call_python([&] {
      const HopsScope scope(std::max(hops, 1));
      return reply_of(function(*copy));
    });
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
                   const Operation::Post& post, const std::shared_ptr<Messenger>& messenger,
                   const std::shared_ptr<Levels>& levels) {
  for (const NamedFunction& entry : functions) {
    if (entry.asynchronous) {
      table.add(entry.name, std::make_shared<AsyncFunction>(entry.function, post, messenger));
    } else {
      table.add(entry.name, std::make_shared<BlockingFunction>(entry.function, post, levels));
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
