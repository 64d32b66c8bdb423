// See model_diff.h.
#include "rbd/model_diff.h"

#include <algorithm>

#include "tap.h"

// Later than Debian's header.
extern "C" int rbd_diff_iterate3(rbd_image_t, uint64_t, uint64_t, uint64_t, uint32_t, int (*)(uint64_t, size_t, int, void*), void*);

namespace cbd::test {

namespace {

constexpr uint64_t kBlock = 4096;

struct Span {
  uint64_t begin, end;
  bool exists;
  bool operator==(const Span&) const = default;
};

using Spans = std::vector<Span>;

int note_span(uint64_t offset, size_t length, int exists, void* spans) {
  static_cast<Spans*>(spans)->push_back({offset, offset + length, exists != 0});
  return 0;
}

struct Range {
  uint64_t begin, end;
};

// The two forms of the call say the same.
bool ask(const DiffCase& diff, Range range, bool with_parent, bool whole_object, Spans& out) {
  const uint64_t length = range.end - range.begin;
  const char* name = diff.from ? diff.from->c_str() : nullptr;
  if (!CHECK_EQ(rbd_diff_iterate2(diff.handle, name, range.begin, length, with_parent, whole_object, note_span, &out), 0)) return false;
  uint64_t id = 0;
  if (name != nullptr && !CHECK_EQ(rbd_snap_get_id(diff.handle, name, &id), 0)) return false;
  const uint32_t flags = (with_parent ? 1u : 0u) | (whole_object ? 2u : 0u);  // RBD_DIFF_ITERATE_FLAG_*, of later headers
  Spans same;
  if (!CHECK_EQ(rbd_diff_iterate3(diff.handle, id, range.begin, length, flags, note_span, &same), 0)) return false;
  return CHECK(out == same);
}

unsigned char byte_at(const Bytes* bytes, uint64_t at) {
  return bytes != nullptr && at < bytes->size() ? (*bytes)[at] : 0;
}

// In order, inside of the range and of one object each, and zero where they are said to be gone.
bool are_well_formed(const DiffCase& diff, const Spans& spans, Range range, uint64_t object) {
  uint64_t last = range.begin;
  for (const Span& span : spans) {
    if (!CHECK(span.begin >= last && span.begin < span.end && span.end <= range.end)) return false;
    if (!CHECK_EQ(span.begin / object, (span.end - 1) / object)) return false;
    if (!CHECK(span.exists || diff.from)) return false;
    for (uint64_t at = span.begin; at < span.end && !span.exists; at++) {
      if (byte_at(diff.after, at) != 0) return CHECK(byte_at(diff.after, at) == 0);
    }
    last = span.end;
  }
  return true;
}

// Each block of which a byte differs is shown.
bool show_all_that_differs(const DiffCase& diff, const Spans& spans, Range range) {
  auto span = spans.begin();
  for (uint64_t at = range.begin; at < range.end; at++) {
    while (span != spans.end() && span->end <= at) ++span;
    if (byte_at(diff.before, at) == byte_at(diff.after, at)) continue;
    if (span == spans.end() || span->begin > at) {
      std::printf("# the byte at %llu differs and is not shown\n", static_cast<unsigned long long>(at));
      return CHECK(false);
    }
  }
  return true;
}

// The objects that the exact spans lie in; they exist at least where a span does.
Spans by_objects(const Spans& exact, Range range, uint64_t object) {
  Spans out;
  for (const Span& span : exact) {
    const uint64_t begin = std::max(range.begin, span.begin / object * object);
    const uint64_t end = std::min(range.end, (span.begin / object + 1) * object);
    if (out.empty() || out.back().begin != begin) out.push_back({begin, end, false});
    out.back().exists |= span.exists;
  }
  return out;
}

// One of which only what is gone has changed exists all the same where it holds something else.
bool are_objects_of(const Spans& exact, const Spans& objects, Range range, uint64_t object) {
  const Spans least = by_objects(exact, range, object);
  return std::equal(least.begin(), least.end(), objects.begin(), objects.end(), [](const Span& wanted, const Span& got) {
    return wanted.begin == got.begin && wanted.end == got.end && (got.exists || !wanted.exists);
  });
}

bool holds(const DiffCase& diff, Range range, bool with_parent, uint64_t object) {
  Spans exact, objects;
  if (!ask(diff, range, with_parent, false, exact) || !ask(diff, range, with_parent, true, objects)) return false;
  if (!are_well_formed(diff, exact, range, object) || !are_well_formed(diff, objects, range, object)) return false;
  // Without its parent a clone's own data is all that counts.
  const bool is_whole = diff.from || with_parent || !diff.has_parent;
  if (is_whole && !show_all_that_differs(diff, exact, range)) return false;
  return CHECK(are_objects_of(exact, objects, range, object));
}

}  // namespace

bool diffs_hold(const DiffCase& diff, std::mt19937& random) {
  const uint64_t size = diff.after->size();
  rbd_image_info_t info;
  if (!CHECK_EQ(rbd_stat(diff.handle, &info, sizeof info), 0)) return false;
  std::vector<Range> ranges = {{0, size}};
  const uint64_t begin = random() % size;
  ranges.push_back({begin, begin + 1 + random() % (size - begin)});
  const uint64_t block = begin / kBlock * kBlock;
  ranges.push_back({block, std::min(size, block + kBlock)});
  for (const Range& range : ranges) {
    for (const bool with_parent : {true, false}) {
      if (holds(diff, range, with_parent, info.obj_size)) continue;
      std::printf("# diff of %llu to %llu since %s, with%s the parent\n", static_cast<unsigned long long>(range.begin),
                  static_cast<unsigned long long>(range.end), diff.from ? diff.from->c_str() : "nothing", with_parent ? "" : "out");
      return false;
    }
  }
  return true;
}

}  // namespace cbd::test
