#include "move/note.h"

#include <cerrno>
#include <sstream>

namespace cbd::hooks {

std::optional<Note> read_note(const Image& image) {
  for (const auto& [key, value] : image.metadata()) {
    if (key != note_key) continue;
    Note note;
    std::istringstream words(value);
    words >> note.step >> note.offset >> note.source_id;
    std::getline(words >> std::ws, note.source);
    if (words.fail()) throw Failure{EINVAL, std::string("rbd: the metadata ") + note_key + " was not written by a move: " + value + "\n"};
    return note;
  }
  return std::nullopt;
}

void write_note(const Image& image, const Note& note) {
  std::ostringstream text;
  text << note.step << ' ' << note.offset << ' ' << note.source_id << ' ' << note.source;
  const int result = rbd_metadata_set(image.handle(), note_key, text.str().c_str());
  if (result < 0) throw failure("noting how far the copy is failed", result);
}

void remove_note(const Image& image) {
  const int result = rbd_metadata_remove(image.handle(), note_key);
  if (result < 0 && result != -ENOENT) throw failure("removing the move's note failed", result);
}

}  // namespace cbd::hooks
