// What a rados_ioctx_t points at once it was destroyed: clients exist that use it all the same (Cinder's RBD driver, where it
// takes a volume back), and must get an error, neither a crash nor another pool that lies at the same address by now.
#pragma once

#include <memory>

#include "rados/handles.h"

namespace cbd::rados {

// Lets go of all that `io` holds. Every call on it gives -ENOTCONN from now on. Its memory is freed when some thousands more
// have been closed; until then it may even be closed again.
void close_ioctx(std::unique_ptr<IoCtx> io);

// Whether it is one that was closed.
bool is_closed(const IoCtx& io);

}  // namespace cbd::rados
