#include "move/move.h"

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <ctime>
#include <memory>

#include "data/flow.h"
#include "move/content.h"

namespace cbd::hooks {
namespace {

Failure refused(int code, const std::string& text) { return Failure{code, "rbd: " + text + "\n"}; }

// The names that have the image's own snapshots, for comparing two lists.
std::vector<std::string> names_of(const std::vector<Snap>& snaps) {
  std::vector<std::string> names;
  for (const Snap& snap : snaps) names.push_back(snap.name);
  return names;
}

std::string id_of(const Image& image) {
  char id[256];
  const int result = rbd_get_id(image.handle(), id, sizeof(id));
  if (result < 0) throw failure("reading the image's id failed", result);
  return id;
}

std::unique_ptr<Image> open_if_there(const Pool& pool, const std::string& name) {
  try {
    return std::make_unique<Image>(pool, name, "", true);
  } catch (const Failure& failure) {
    if (failure.code != ENOENT) throw;
    return nullptr;
  }
}

// Where somebody has the image open for writing: "" for nobody.
std::string opener_of(const Image& image, size_t own) {
  std::vector<rbd_image_watcher_t> watchers(16);
  size_t count = watchers.size();
  int result = rbd_watchers_list(image.handle(), watchers.data(), &count);
  while (result == -ERANGE) {
    watchers.resize(count);
    result = rbd_watchers_list(image.handle(), watchers.data(), &count);
  }
  if (result < 0) throw failure("listing who has the image open failed", result);
  const std::string address = count > own ? watchers[0].addr : "";
  rbd_watchers_list_cleanup(watchers.data(), count);
  return address;
}

// A run that was killed seems to have its copy open for a while yet: on Ceph until its watch expires, after 30 s. Nothing
// tells when.
void await_sole_use(const Image& copy, const std::string& name) {
  const timespec pause = {0, 500'000'000};
  constexpr int tries = 90;
  for (int at = 0; opener_of(copy, 1) != ""; ++at) {
    if (is_interrupted()) throw refused(EINTR, "interrupted");
    if (at == tries) throw refused(EBUSY, name + ": another move is under way, or somebody has the copy open");
    if (at == 4) fprintf(stderr, "waiting until %s is no longer open by an earlier run (up to 45 s)\n", name.c_str());
    nanosleep(&pause, nullptr);
  }
}

void copy_metadata(const Image& source, const Image& copy) {
  for (const auto& [key, value] : source.metadata()) {
    if (key == note_key) continue;
    const int result = rbd_metadata_set(copy.handle(), key.c_str(), value.c_str());
    if (result < 0) throw failure("copying the metadata " + key + " failed", result);
  }
}

// Everything that an image and its snapshots are goes. Snapshots with clones stay, and with them the image: EBUSY.
void remove_whole(const Pool& pool, const std::string& name) {
  {
    const Image image(pool, name, "", false);
    await_sole_use(image, name);
    for (const Snap& snap : image.snaps()) {
      int result = image.is_protected(snap.name) ? rbd_snap_unprotect(image.handle(), snap.name.c_str()) : 0;
      if (result >= 0) result = rbd_snap_remove(image.handle(), snap.name.c_str());
      if (result < 0) throw failure("removing " + name + "@" + snap.name + " failed", result);
    }
  }
  const int result = rbd_remove(pool.ioctx(), name.c_str());
  if (result < 0) throw failure("removing " + name + " failed", result);
}

void rename_image(const Pool& pool, const std::string& from, const std::string& to) {
  const int result = rbd_rename(pool.ioctx(), from.c_str(), to.c_str());
  if (result < 0) throw failure("renaming " + from + " to " + to + " failed", result);
}

}  // namespace

std::string show(const Spec& spec) {
  return spec.pool + "/" + (spec.name_space.empty() ? "" : spec.name_space + "/") + spec.image;
}

Move::Move(rados_t cluster, const MoveOptions& options)
    : options_(options),
      from_(cluster, options.from.pool, options.from.name_space),
      to_(cluster, options.to.pool, options.to.name_space),
      hidden_source_(options.from.image + ".cbd2rbd-moved"),
      hidden_copy_(options.to.image + ".cbd2rbd-move") {
  if (options.from.pool == options.to.pool && options.from.name_space == options.to.name_space) {
    throw refused(EINVAL, show(options.from) + " and " + show(options.to) + " are in one pool: `rbd rename` does that");
  }
}

Move::Stage Move::find_stage() {
  const auto note_in = [&](const std::string& name) -> std::optional<Note> {
    const auto image = open_if_there(to_, name);
    if (image == nullptr) return std::nullopt;
    std::optional<Note> note = read_note(*image);
    if (!note && name == hidden_copy_ && image->size() == 0) return std::nullopt;  // killed before its first note; begin() makes it anew
    if (!note && name == options_.to.image && open_if_there(from_, options_.from.image) == nullptr) {
      throw refused(EEXIST, show(options_.to) + " is there already, and " + show(options_.from) + " is not: a move from one to the other has ended");
    }
    if (!note || note->source != show(options_.from)) {
      throw refused(EEXIST, options_.to.pool + "/" + name + " is there already" + (note ? ", from a move of " + note->source : ""));
    }
    return note;
  };
  if (const auto note = note_in(options_.to.image)) {
    note_ = *note;
    return Stage::switched;
  }
  const auto note = note_in(hidden_copy_);
  if (!note) return Stage::fresh;
  note_ = *note;
  const auto taken_out = open_if_there(from_, hidden_source_);
  if (taken_out != nullptr && id_of(*taken_out) == note_.source_id) return Stage::taken_out;
  const auto source = open_if_there(from_, options_.from.image);
  if (source != nullptr && id_of(*source) == note_.source_id) return Stage::copying;
  throw refused(ENOENT, "the move was begun with another " + note_.source + ", which is gone; --abort removes its copy");
}

void Move::begin() {
  const Image source(from_, options_.from.image, "", true);
  if (const std::string address = opener_of(source, 0); !address.empty()) {
    throw refused(EBUSY, show(options_.from) + " is open at " + address + ": close it there first");
  }
  if (open_if_there(from_, hidden_source_) != nullptr) {
    throw refused(EEXIST, options_.from.pool + "/" + hidden_source_ + " is there already, from another move");
  }
  size_t children = 0;
  if (options_.removes_source && rbd_list_children3(source.handle(), nullptr, &children) == -ERANGE) {
    throw refused(EBUSY, show(options_.from) + " has clones, so it cannot be removed after the move: leave --remove away, or flatten them");
  }
  if (open_if_there(to_, hidden_copy_) != nullptr) remove_whole(to_, hidden_copy_);
  const ImageShape shape = source.shape();
  // Journals and mirrors belong to their cluster.
  constexpr uint64_t kept = RBD_FEATURE_LAYERING | RBD_FEATURE_STRIPINGV2 | RBD_FEATURE_EXCLUSIVE_LOCK | RBD_FEATURE_OBJECT_MAP |
                            RBD_FEATURE_FAST_DIFF | RBD_FEATURE_DEEP_FLATTEN;
  rbd_image_options_t options = nullptr;
  rbd_image_options_create(&options);
  rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_ORDER, shape.order);
  rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_FEATURES, shape.features & kept);
  if ((shape.features & RBD_FEATURE_STRIPINGV2) != 0) {
    rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_STRIPE_UNIT, shape.stripe_unit);
    rbd_image_options_set_uint64(options, RBD_IMAGE_OPTION_STRIPE_COUNT, shape.stripe_count);
  }
  const int result = rbd_create4(to_.ioctx(), hidden_copy_.c_str(), 0, options);
  rbd_image_options_destroy(options);
  if (result < 0) throw failure("making " + options_.to.pool + "/" + hidden_copy_ + " failed", result);
  note_ = Note{0, 0, id_of(source), show(options_.from)};
  const Image copy(to_, hidden_copy_, "", false);
  write_note(copy, note_);
  is_new_ = true;
}

void Move::copy() {
  const Image source(from_, options_.from.image, "", true);
  const Image target(to_, hidden_copy_, "", false);
  await_sole_use(target, options_.to.pool + "/" + hidden_copy_);
  const std::vector<Snap> snaps = source.snaps();
  const std::vector<std::string> names = names_of(snaps), done = names_of(target.snaps());
  if (done.size() > names.size() || !std::equal(done.begin(), done.end(), names.begin())) {
    throw refused(EBUSY, show(options_.from) + " lost snapshots since the move was begun: --abort, and begin again");
  }
  if (done.size() != note_.step) note_.step = done.size(), note_.offset = 0;
  if (note_.step > 0 || note_.offset > 0) {
    fprintf(stderr, "going on behind %zu of %zu snapshots, at %" PRIu64 " MiB\n", note_.step, snaps.size(), note_.offset >> 20);
  }
  copy_metadata(source, target);
  Progress progress("Copying " + show(options_.from), options_.shows_progress);
  const uint64_t parts = snaps.size() + 1;
  for (size_t step = note_.step; step < parts; ++step) {
    const std::string at = step < snaps.size() ? snaps[step].name : "";
    const Image view(from_, options_.from.image, at, true);
    const uint64_t size = view.size();
    const auto saved = [&](uint64_t offset) { write_note(target, note_ = Note{step, offset, note_.source_id, note_.source}); };
    const auto moving = [&](uint64_t offset) { progress.update(step * size + offset, parts * size); };
    const Piece piece{step > 0 ? snaps[step - 1].name : "", note_.offset, is_new_ && step == 0};
    int result = copy_view(view, piece, target, saved, moving);
    if (result >= 0 && step < snaps.size()) result = rbd_snap_create(target.handle(), at.c_str());
    if (result < 0) {
      progress.fail();
      if (is_interrupted()) throw refused(EINTR, "interrupted: the same command goes on with it, --abort takes it back");
      throw failure("copying " + show(options_.from) + (at.empty() ? "" : "@" + at) + " failed", result);
    }
    write_note(target, note_ = Note{step + 1, 0, note_.source_id, note_.source});
  }
  progress.finish();
}

// From here on no client finds the source by its name.
void Move::take_out() {
  {
    const Image source(from_, options_.from.image, "", true);
    if (const std::string address = opener_of(source, 0); !address.empty()) {
      throw refused(EBUSY, show(options_.from) + " was opened at " + address + " meanwhile: close it there and run this again");
    }
  }
  rename_image(from_, options_.from.image, hidden_source_);
  std::string address;
  {
    const Image source(from_, hidden_source_, "", true);
    address = opener_of(source, 0);
  }
  if (address.empty()) return;
  put_back();
  throw refused(EBUSY, show(options_.from) + " was opened at " + address + " meanwhile: close it there and run this again");
}

void Move::put_back() { rename_image(from_, hidden_source_, options_.from.image); }

// Snapshots must be equal. The image itself may have been written to while it was copied: what differs is copied again,
// now that nobody can reach it.
void Move::verify() {
  const Image source(from_, hidden_source_, "", true);
  const Image target(to_, hidden_copy_, "", false);
  await_sole_use(target, options_.to.pool + "/" + hidden_copy_);
  const std::vector<Snap> snaps = source.snaps(), copies = target.snaps();
  if (names_of(snaps) != names_of(copies)) {
    put_back();
    throw refused(EBUSY, show(options_.from) + " got or lost a snapshot while it was copied, and has its name again: --abort, and begin again");
  }
  copy_metadata(source, target);
  if (target.size() != source.size()) {
    const int result = resize_to(target, source.size());
    if (result < 0) throw failure("resizing the copy failed", result);
  }
  Progress progress("Comparing " + show(options_.from), options_.shows_progress);
  const uint64_t parts = snaps.size() + 1;
  for (size_t step = 0; step < parts; ++step) {
    const bool is_head = step == snaps.size();
    const std::string at = is_head ? "" : snaps[step].name;
    const Image view(from_, hidden_source_, at, true);
    const Image copy(to_, hidden_copy_, at, true);
    const uint64_t size = view.size();
    uint64_t where = 0;
    const auto differs = [&](uint64_t offset, const char* data, size_t length) {
      where = offset;
      return is_head ? static_cast<int>(std::min<ssize_t>(rbd_write(target.handle(), offset, length, data), 0)) : -EILSEQ;
    };
    int result = copy.size() != size ? -EILSEQ : compare_views(view, copy, differs, [&](uint64_t offset) { progress.update(step * size + offset, parts * size); });
    if (result >= 0 && is_head) result = rbd_flush(target.handle());
    if (result >= 0) continue;
    progress.fail();
    if (is_interrupted()) throw refused(EINTR, "interrupted: the same command goes on with it, --abort takes it back");
    if (result != -EILSEQ) throw failure("comparing " + show(options_.from) + (is_head ? "" : "@" + at) + " failed", result);
    put_back();
    throw refused(EIO, "the copy of " + show(options_.from) + "@" + at + " differs at " + std::to_string(where) +
                           "; the source has its name again, --abort removes the copy");
  }
  progress.finish();
}

void Move::switch_over() {
  {
    const Image source(from_, hidden_source_, "", true);
    // Whoever was in the middle of opening it when it was taken out has it open by now.
    if (const std::string address = opener_of(source, 0); !address.empty()) {
      put_back();
      throw refused(EBUSY, show(options_.from) + " was opened at " + address + " meanwhile: close it there and run this again");
    }
    const Image target(to_, hidden_copy_, "", false);
    for (const Snap& snap : source.snaps()) {
      if (!source.is_protected(snap.name) || target.is_protected(snap.name)) continue;
      const int result = rbd_snap_protect(target.handle(), snap.name.c_str());
      if (result < 0) throw failure("protecting " + snap.name + " failed", result);
    }
  }
  rename_image(to_, hidden_copy_, options_.to.image);
}

// The copy has its name: what is left of the source goes, then the note.
Moved Move::drop_source() {
  Moved moved;
  if (open_if_there(from_, hidden_source_) != nullptr) {
    if (options_.removes_source) {
      remove_whole(from_, hidden_source_);
    } else {
      const int result = rbd_trash_move(from_.ioctx(), hidden_source_.c_str(), 0);
      if (result < 0) throw failure("moving " + hidden_source_ + " to the trash failed", result);
    }
  }
  if (!options_.removes_source) moved.trash_id = note_.source_id;
  const Image target(to_, options_.to.image, "", false);
  moved.snapshots = target.snaps().size();
  moved.size = target.size();
  remove_note(target);
  return moved;
}

Moved Move::run() {
  const Stage stage = find_stage();
  if (stage == Stage::fresh) begin();
  if (stage == Stage::fresh || stage == Stage::copying) {
    copy();
    take_out();
  }
  if (stage != Stage::switched) {
    verify();
    switch_over();
  }
  return drop_source();
}

void Move::abort() {
  const Stage stage = find_stage();
  if (stage == Stage::switched) throw refused(EEXIST, show(options_.to) + " has been verified and has its name: run the move again to end it");
  if (stage == Stage::fresh) throw refused(ENOENT, "no move of " + show(options_.from) + " to " + show(options_.to) + " is under way");
  if (stage == Stage::taken_out) put_back();
  remove_whole(to_, hidden_copy_);
}

}  // namespace cbd::hooks
