// Steps as processes of this host or as C++ functions.
#include "knative/builder.hpp"

namespace knative {

namespace {

constexpr std::string_view function_prefix = "fn:";

class LocalStepRunner final : public StepRunner {
 public:
  LocalStepRunner(Processes& processes, const StepFunctions& functions, LocalStepOptions options)
      : processes_(processes), functions_(functions), options_(std::move(options)) {}

  Task<Result<ExitStatus>> run(const StepSpec& step, const StepLog& log) override {
    if (step.image.substr(0, function_prefix.size()) == function_prefix) {
      return run_function(step, log);
    }
    return run_process(step, log);
  }

 private:
  Task<Result<ExitStatus>> run_function(const StepSpec& step, const StepLog& log) {
    const std::string name = step.image.substr(function_prefix.size());
    const StepFunction* function = functions_.find(name);
    if (function == nullptr) co_return unknown_function(name);
    std::string trouble;
    try {
      Task<Result<int>> task = (*function)(step, log);
      Result<int> code = co_await std::move(task);
      if (code) co_return ExitStatus{*code, 0};
      trouble = code.error().to_string();
    } catch (const std::exception& thrown) {
      trouble = thrown.what();
    } catch (...) {
      trouble = "unknown exception";
    }
    if (log) log("function \"" + name + "\" failed: " + trouble + "\n");
    co_return ExitStatus{1, 0};
  }

  Error unknown_function(const std::string& name) const {
    std::string detail = "no step function \"" + name + "\" is registered; there ";
    const std::vector<std::string> known = functions_.names();
    detail += known.empty() ? "are none" : "are";
    for (const std::string& other : known) detail += " " + other;
    return fail(Errc::not_found, detail);
  }

  Task<Result<ExitStatus>> run_process(const StepSpec& step, const StepLog& log) {
    ProcessOptions options;
    options.argv = step.command;
    options.argv.insert(options.argv.end(), step.args.begin(), step.args.end());
    if (step.command.empty()) {
      co_return fail(Errc::invalid_argument,
                     "has no command; a process on this host has no image to take one from");
    }
    options.environment = options_.environment;
    for (const auto& [name, value] : step.environment) options.environment[name] = value;
    options.working_directory = step.working_directory;
    const StepLog* sink = &log;
    options.on_stdout = [sink](std::string_view text) {
      if (*sink) (*sink)(text);
    };
    options.on_stderr = options.on_stdout;
    Result<std::unique_ptr<Process>> process = processes_.spawn(options);
    if (!process) co_return process.error();
    Task<ExitStatus> ended = (*process)->wait();
    const ExitStatus status = co_await std::move(ended);
    co_return status;
  }

  Processes& processes_;
  const StepFunctions& functions_;
  LocalStepOptions options_;
};

}  // namespace

void StepFunctions::add(std::string name, StepFunction function) {
  functions_[std::move(name)] = std::move(function);
}

const StepFunction* StepFunctions::find(std::string_view name) const noexcept {
  const auto at = functions_.find(name);
  return at == functions_.end() ? nullptr : &at->second;
}

std::vector<std::string> StepFunctions::names() const {
  std::vector<std::string> result;
  for (const auto& entry : functions_) result.push_back(entry.first);
  return result;
}

std::unique_ptr<StepRunner> local_step_runner(Processes& processes, const StepFunctions& functions,
                                              LocalStepOptions options) {
  return std::make_unique<LocalStepRunner>(processes, functions, std::move(options));
}

}  // namespace knative
