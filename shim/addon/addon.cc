// The Node addon's table of functions. What each does is in its own file; src/native/addon.ts is the typed face.
#include <napi.h>

#include "addon/files.h"
#include "addon/layers.h"
#include "addon/sockets.h"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  cbd::addon::export_files(env, exports);
  cbd::addon::export_layers(env, exports);
  cbd::addon::export_sockets(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(cbd2rbd, init)
