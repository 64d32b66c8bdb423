// Answers as data: JSON and XML as Ceph's formatter writes them.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "data/words.h"

namespace cbd::hooks {

using Json = nlohmann::ordered_json;

// True where --format asks for data. Throws Failure: 1 for an unknown format, 22 for --pretty-format without data.
bool wants_data(const Words& words);

// Prints to standard output by --format and --pretty-format. `root` is XML's outermost element; a list's elements are
// called by the list's name without its last letter ("images": "image").
void print_data(const Words& words, const char* root, const Json& data);

}  // namespace cbd::hooks
