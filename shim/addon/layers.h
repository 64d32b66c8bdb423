// What the daemon does to volumes itself: flatten, merge and measure layers, on libuv's threads.
// block/layer_tools.h does the work.
#pragma once

#include <napi.h>

namespace cbd::addon {

void export_layers(Napi::Env env, Napi::Object exports);

}  // namespace cbd::addon
