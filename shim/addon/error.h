// How the addon's functions fail: a JavaScript error with Node's `code`, `errno` and `syscall`.
#pragma once

#include <napi.h>

namespace cbd::addon {

// Raises the error for a (positive) errno value in the calling script; the value is what the function then returns.
Napi::Value fail(Napi::Env env, const char* call, int error);

// Takes a descriptor out of a script's value; false where it is none.
bool take_fd(const Napi::Value& value, int& fd);

}  // namespace cbd::addon
