// What a zygote runs. Private to the workload.
#pragma once

#include <string_view>

namespace knative {

/// The variable that configures it, as JSON: "address" of the control socket in the abstract
/// namespace, "kind" and "program" as in `PythonCommand`, and "preload", a list of modules. It is
/// gone before anything is imported.
///
/// The program says "knative-zygote-token TOKEN" on its standard output, connects to the address
/// and begins there with "TOKEN c 0000000000000000\n". Then lines of JSON go both ways. It says
///   {"importing": NAME}, {"log": TEXT} and, once, {"ready": VERSION}
/// and hears
///   {"fork": ID, "kind": .., "program": .., "words": [..], "orig": [..], "env": {..}, "cwd": ..}
///   {"signal": ID, "number": N}
/// which it answers, in order, by {"fork": ID, "pid": N}, {"fork": ID, "error": TEXT} and
/// {"signal": ID}. Before a fork it connects for its output, "TOKEN o ID\n" and "TOKEN e ID\n" with
/// the ID as 16 hexadecimal digits. The end of a fork is {"end": ID, "code": N, "signal": N}.
inline constexpr const char* zygote_variable = "KNATIVE_ZYGOTE";

/// For `python3 -c`.
extern const std::string_view zygote_program;

}  // namespace knative
