// Unix sockets, where Node's own module ends: peer credentials and passing descriptors.
#pragma once

#include <napi.h>

namespace cbd::addon {

// Adds peerCredentials and sendDescriptors (src/native/addon.ts says what they take and give).
void export_sockets(Napi::Env env, Napi::Object exports);

}  // namespace cbd::addon
