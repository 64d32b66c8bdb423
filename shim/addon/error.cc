#include "addon/error.h"

#include <cerrno>
#include <string>
#include <system_error>

namespace cbd::addon {
namespace {

const char* code_of(int error) {
  switch (error) {
    case EBADF: return "EBADF";
    case ENOTSOCK: return "ENOTSOCK";
    case EPIPE: return "EPIPE";
    case ECONNRESET: return "ECONNRESET";
    case ENOTCONN: return "ENOTCONN";
    case EINVAL: return "EINVAL";
    case EMFILE: return "EMFILE";
    case ENOLCK: return "ENOLCK";
    case ETOOMANYREFS: return "ETOOMANYREFS";
    default: return "EIO";
  }
}

}  // namespace

Napi::Value fail(Napi::Env env, const char* call, int error) {
  Napi::Error thrown =
      Napi::Error::New(env, std::string(call) + ": " + std::generic_category().message(error));
  thrown.Set("errno", Napi::Number::New(env, -error));
  thrown.Set("code", Napi::String::New(env, code_of(error)));
  thrown.Set("syscall", Napi::String::New(env, call));
  thrown.ThrowAsJavaScriptException();
  return env.Undefined();
}

bool take_fd(const Napi::Value& value, int& fd) {
  if (!value.IsNumber()) return false;
  fd = value.As<Napi::Number>().Int32Value();
  return fd >= 0;
}

}  // namespace cbd::addon
