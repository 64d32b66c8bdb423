// Files, where Node's own module ends: locks.
#pragma once

#include <napi.h>

namespace cbd::addon {

// Adds tryLock (src/native/addon.ts says what it takes and gives).
void export_files(Napi::Env env, Napi::Object exports);

}  // namespace cbd::addon
