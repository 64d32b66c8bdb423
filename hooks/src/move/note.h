// What a move under way leaves in its copy's metadata, so that another run can go on with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "data/image.h"

namespace cbd::hooks {

struct Note {
  size_t step = 0;        // snapshots that are copied; what is being copied is the one behind them, or the image itself
  uint64_t offset = 0;    // of that, what lies before is copied
  std::string source_id;  // the image's id in its pool
  std::string source;     // POOL/[NAMESPACE/]IMAGE, as it was called
};

inline constexpr const char* note_key = "cbd2rbd_move";

// Throws Failure where the metadata cannot be read or written.
std::optional<Note> read_note(const Image& image);
void write_note(const Image& image, const Note& note);
void remove_note(const Image& image);

}  // namespace cbd::hooks
