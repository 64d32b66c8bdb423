// See model_io.h.
#include "rbd/model_io.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "tap.h"

namespace cbd::test {

namespace {

enum class Kind { read, write, writev, zeroes, discard, same, compare, flush };

// One thread's part of the image.
struct Slice {
  uint64_t begin;
  Bytes bytes, touched;
  uint64_t image_size;
  uint64_t object_size;
  bool discards;
};

bool complain(const char* what, uint64_t offset, uint64_t length, ssize_t result) {
  const std::string text = std::string(what) + " at " + std::to_string(offset) + ", " + std::to_string(length) +
                           " bytes: " + std::to_string(result);
  return tap::check(false, __FILE__, __LINE__, text);
}

class Operation {
 public:
  Operation(Slice& slice, uint64_t at, uint64_t length, std::mt19937& random) : slice_(slice), at_(at), length_(length) {
    static constexpr Kind choices[] = {Kind::read,   Kind::read,    Kind::read, Kind::write,   Kind::write, Kind::write,
                                       Kind::writev, Kind::discard, Kind::same, Kind::compare, Kind::zeroes, Kind::flush};
    kind_ = choices[random() % std::size(choices)];
    if (kind_ == Kind::discard && !slice.discards) kind_ = Kind::zeroes;
    memory_.resize(length);
    const auto now = slice.bytes.begin() + static_cast<long>(at);
    if (kind_ == Kind::read) {
      expected_.assign(now, now + static_cast<long>(length));
    } else if (kind_ == Kind::same) {
      // (Pieces of a few hundred bytes.)
      unit_ = std::min<uint64_t>(length, 1 + random() % 600);
      length_ = length / unit_ * unit_;
      for (uint64_t i = 0; i < unit_; i++) memory_[i] = static_cast<unsigned char>(random());
      for (uint64_t i = unit_; i < length_; i++) memory_[i] = memory_[i - unit_];
    } else {
      const auto value = static_cast<unsigned char>(random());
      for (uint64_t i = 0; i < length; i++) memory_[i] = static_cast<unsigned char>(value + i * 7 + (i >> 9));
    }
    if (kind_ == Kind::compare) {
      // It stays within an object.
      length_ = std::min(length, slice.object_size - (slice.begin + at) % slice.object_size);
      expected_.assign(now, now + static_cast<long>(length_));
      if (random() % 2) {
        different_ = random() % length_;
        expected_[different_] ^= 0x55;
      }
    }
    thick_ = random() % 4 == 0;
  }

  int start(rbd_image_t image, rbd_completion_t done) {
    const uint64_t offset = slice_.begin + at_;
    auto* data = reinterpret_cast<char*>(memory_.data());
    switch (kind_) {
      case Kind::read: return rbd_aio_read(image, offset, length_, data, done);
      case Kind::write: return rbd_aio_write(image, offset, length_, data, done);
      case Kind::writev: return rbd_aio_writev(image, cut(), 2, offset, done);
      case Kind::zeroes: return rbd_aio_write_zeroes(image, offset, length_, done, flags(), 0);
      case Kind::discard: return rbd_aio_discard(image, offset, length_, done);
      case Kind::same: return rbd_aio_writesame(image, offset, length_, data, unit_, done, 0);
      case Kind::compare: return rbd_aio_compare_and_write(image, offset, length_, was(), data, done, &mismatch_, 0);
      case Kind::flush: return rbd_aio_flush(image, done);
    }
    return -EINVAL;
  }

  ssize_t carry_out(rbd_image_t image) {
    const uint64_t offset = slice_.begin + at_;
    auto* data = reinterpret_cast<char*>(memory_.data());
    switch (kind_) {
      case Kind::read: return rbd_read(image, offset, length_, data);
      case Kind::write:
      case Kind::writev: return rbd_write(image, offset, length_, data);
      case Kind::zeroes: return rbd_write_zeroes(image, offset, length_, flags(), 0);
      case Kind::discard: return rbd_discard(image, offset, length_);
      case Kind::same: return rbd_writesame(image, offset, length_, data, unit_, 0);
      case Kind::compare: return rbd_compare_and_write(image, offset, length_, was(), data, &mismatch_, 0);
      case Kind::flush: return rbd_flush(image);
    }
    return -EINVAL;
  }

  // Holds the result against the slice, and changes that.
  bool settle(ssize_t result, bool is_asynchronous) {
    const bool differs = different_ != UINT64_MAX;
    // Asynchronous writes answer 0, synchronous ones how much they wrote.
    const ssize_t all = is_asynchronous && kind_ != Kind::read ? 0 : static_cast<ssize_t>(length_);
    const ssize_t wanted = kind_ == Kind::flush ? 0 : differs ? -EILSEQ : all;
    if (result != wanted) return complain(name(), slice_.begin + at_, length_, result);
    if (differs && mismatch_ != different_) return complain("mismatch", slice_.begin + at_, mismatch_, result);
    const auto at = slice_.bytes.begin() + static_cast<long>(at_);
    if (kind_ == Kind::read) {
      const auto where = std::mismatch(expected_.begin(), expected_.end(), memory_.begin());
      if (where.first == expected_.end()) return true;
      return complain("a read finds another byte", slice_.begin + at_ + static_cast<uint64_t>(where.first - expected_.begin()), length_, result);
    }
    if (kind_ == Kind::flush || differs) return true;
    if (kind_ == Kind::discard) return settle_discard();
    if (kind_ == Kind::zeroes) {
      std::fill_n(at, length_, static_cast<unsigned char>(0));
    } else {
      std::copy_n(memory_.begin(), length_, at);
    }
    std::fill_n(slice_.touched.begin() + static_cast<long>(at_), length_, static_cast<unsigned char>(1));
    return true;
  }

 private:
  // Only whole units are given back; the image's end ends a unit.
  bool settle_discard() {
    const uint64_t offset = slice_.begin + at_, stop = offset + length_;
    const uint64_t begin = (offset + kDiscardUnit - 1) / kDiscardUnit * kDiscardUnit;
    const uint64_t end = stop == slice_.image_size ? stop : stop / kDiscardUnit * kDiscardUnit;
    if (begin >= end) return true;
    std::fill_n(slice_.bytes.begin() + static_cast<long>(begin - slice_.begin), end - begin, static_cast<unsigned char>(0));
    std::fill_n(slice_.touched.begin() + static_cast<long>(begin - slice_.begin), end - begin, static_cast<unsigned char>(1));
    return true;
  }

  const char* name() const {
    static const char* const names[] = {"read", "write", "writev", "write_zeroes", "discard", "writesame", "compare_and_write", "flush"};
    return names[static_cast<int>(kind_)];
  }
  int flags() const { return thick_ ? RBD_WRITE_ZEROES_FLAG_THICK_PROVISION : 0; }
  const char* was() const { return reinterpret_cast<const char*>(expected_.data()); }
  const iovec* cut() {
    const uint64_t half = length_ / 2;
    iov_[0] = {memory_.data(), half};
    iov_[1] = {memory_.data() + half, length_ - half};
    return iov_;
  }

  Slice& slice_;
  const uint64_t at_;
  uint64_t length_;
  Kind kind_;
  Bytes memory_, expected_;
  iovec iov_[2];
  uint64_t unit_ = 0, mismatch_ = 0, different_ = UINT64_MAX;
  bool thick_ = false;
};

// Some operations that do not overlap, so that their order does not matter: one after the other, or all at once.
bool batch(rbd_image_t image, Slice& slice, uint64_t count, std::mt19937& random) {
  const uint64_t part = slice.bytes.size() / count;
  if (part == 0) return true;
  const bool waits = count == 1 || random() % 3 == 0;
  std::vector<std::unique_ptr<Operation>> operations;
  for (uint64_t i = 0; i < count; i++) {
    const uint64_t within = random() % part;
    const uint64_t longest = std::min<uint64_t>(part - within, 40000);
    uint64_t at = i * part + within, length = 1 + random() % longest;
    if (random() % 3 == 0) length = 1 + random() % std::min<uint64_t>(longest, 700);
    if (random() % 3 == 0) {  // whole blocks
      const uint64_t begin = (slice.begin + at + 4095) / 4096 * 4096, end = slice.begin + (i + 1) * part;
      if (begin + 4096 <= end) {
        at = begin - slice.begin;
        length = std::min((end - begin) / 4096 * 4096, (1 + length / 4096) * 4096);
      }
    }
    operations.push_back(std::make_unique<Operation>(slice, at, length, random));
  }
  bool good = true;
  if (waits) {
    for (auto& operation : operations) good = operation->settle(operation->carry_out(image), false) && good;
    return good;
  }
  std::vector<rbd_completion_t> completions(operations.size());
  for (size_t i = 0; i < operations.size(); i++) {
    rbd_aio_create_completion(nullptr, nullptr, &completions[i]);
    const int error = operations[i]->start(image, completions[i]);
    if (error != 0) return complain("start", slice.begin, 0, error);
  }
  for (size_t i = 0; i < operations.size(); i++) {
    rbd_aio_wait_for_complete(completions[i]);
    good = operations[i]->settle(rbd_aio_get_return_value(completions[i]), true) && good;
    rbd_aio_release(completions[i]);
  }
  return good;
}

bool work(rbd_image_t image, Slice& slice, uint64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  while (count > 0) {
    const uint64_t n = std::min<uint64_t>(count, 1 + random() % 8);
    if (!batch(image, slice, n, random)) return false;
    count -= n;
  }
  return true;
}

}  // namespace

bool run_round(const Round& round, Bytes& model, Bytes& touched) {
  const size_t threads = round.handles.size();
  rbd_image_info_t info;
  if (!CHECK_EQ(rbd_stat(round.handles[0], &info, sizeof info), 0)) return false;
  std::vector<Slice> slices(threads);
  uint64_t begin = 0;
  for (size_t t = 0; t < threads; t++) {
    uint64_t end = t + 1 == threads ? model.size() : model.size() * (t + 1) / threads / round.grain * round.grain;
    slices[t].begin = begin;
    slices[t].image_size = model.size();
    slices[t].object_size = info.obj_size;
    slices[t].discards = round.discards;
    slices[t].bytes.assign(model.begin() + static_cast<long>(begin), model.begin() + static_cast<long>(end));
    slices[t].touched.assign(end - begin, 0);
    begin = end;
  }
  std::atomic<bool> good{true};
  std::vector<std::thread> workers;
  for (size_t t = 0; t < threads; t++) {
    workers.emplace_back([&, t] {
      const auto seed = static_cast<uint32_t>(round.seed * 31 + t);
      if (!work(round.handles[t], slices[t], round.operations / threads, seed)) good = false;
    });
  }
  for (auto& worker : workers) worker.join();
  touched.assign(model.size(), 0);
  for (const Slice& slice : slices) {
    std::copy(slice.bytes.begin(), slice.bytes.end(), model.begin() + static_cast<long>(slice.begin));
    std::copy(slice.touched.begin(), slice.touched.end(), touched.begin() + static_cast<long>(slice.begin));
  }
  return good;
}

bool reads_as(rbd_image_t handle, const Bytes& model, const char* what) {
  uint64_t size = 0;
  if (!CHECK_EQ(rbd_get_size(handle, &size), 0) || !CHECK_EQ(size, model.size())) return complain(what, 0, size, 0);
  Bytes got(model.size(), 0xee);
  constexpr uint64_t step = 1 << 20;
  for (uint64_t at = 0; at < size; at += step) {
    const uint64_t n = std::min(step, size - at);
    const ssize_t result = rbd_read(handle, at, n, reinterpret_cast<char*>(got.data() + at));
    if (result != static_cast<ssize_t>(n)) return complain(what, at, n, result);
  }
  const auto where = std::mismatch(model.begin(), model.end(), got.begin());
  if (where.first == model.end()) return true;
  return complain((std::string(what) + " finds another byte").c_str(), static_cast<uint64_t>(where.first - model.begin()), 1, 0);
}

}  // namespace cbd::test
