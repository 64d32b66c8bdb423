// What export and export-diff have in common: an image or snapshot goes to the file, or to the standard output, that the words name.
#pragma once

#include <rados/librados.h>

#include <functional>

#include "data/image.h"
#include "data/paths.h"
#include "data/words.h"

namespace cbd::hooks {

// `name`: the command's, for its errors. `write` puts the image there and gives 0 or -errno. Returns 0; throws Failure where
// it was not done: a file that was begun is gone then.
int export_to(rados_t cluster, const Words& words, const Spec& spec, const std::string& name,
              const std::function<int(const Pool&, const Image&, const Target&, Progress&)>& write);

}  // namespace cbd::hooks
