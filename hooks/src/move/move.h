// Moves an image with its snapshots to another pool, whatever either pool stands on, over librbd alone: copies it under
// a name of its own, takes the source out of the clients' reach, compares the two, and only then gives the copy its name.
// Killed at any moment, it is run again and goes on: what it needs to know is a note in the copy's metadata, and which
// of the names are there.
#pragma once

#include <rados/librados.h>

#include <cstdint>
#include <string>

#include "data/image.h"
#include "data/words.h"
#include "move/note.h"

namespace cbd::hooks {

struct MoveOptions {
  Spec from, to;  // no snapshots; pools are named
  bool removes_source = false;
  bool shows_progress = true;
};

struct Moved {
  size_t snapshots = 0;
  uint64_t size = 0;  // bytes
  // The source's id in its pool's trash; "" where it was removed.
  std::string trash_id;
};

class Move {
 public:
  // Throws Failure where a pool cannot be reached, or where both are the same.
  Move(rados_t cluster, const MoveOptions& options);

  // Begins, or goes on where an earlier run ended. Throws Failure: EBUSY while the source is open, EEXIST where the name
  // is taken, EIO where the copy differs (the source has its name again then).
  Moved run();
  // Takes back what run() has done so far. Throws Failure: ENOENT where there is nothing, EEXIST where the copy has its
  // name already.
  void abort();

 private:
  enum class Stage { fresh, copying, taken_out, switched };

  Stage find_stage();
  void begin();
  void copy();
  void take_out();
  void put_back();
  void verify();
  void switch_over();
  Moved drop_source();

  const MoveOptions options_;
  const Pool from_, to_;
  const std::string hidden_source_, hidden_copy_;  // names while the move is under way
  Note note_;
  bool is_new_ = false;  // this run made the copy: it is all zeroes
};

// "POOL/[NAMESPACE/]IMAGE"
std::string show(const Spec& spec);

}  // namespace cbd::hooks
