// How long one request takes through the stack, beside io_uring used directly on the same kind of file (not a
// test):
//   speed_block [seconds per row]
// A client that submits on its own thread and waits for its oldest request, as fio does.
#include <liburing.h>

#include <chrono>
#include <cstdio>
#include <random>

#include "block/align.h"
#include "block/chain.h"
#include "block/support.h"
#include "block/volume_file.h"

using namespace cbd;
using namespace cbd::block;
using namespace cbd::block::test;
using Clock = std::chrono::steady_clock;

namespace {

constexpr uint64_t file_bytes = 512ull << 20;

struct Load {
  bool write;
  bool direct;
  unsigned depth;
  uint64_t length;
};

// Operations a second, and what one costs of processor time (which other programs on the machine disturb
// less).
struct Rate {
  double per_second;
  double processor_us;
};

double processor_seconds() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

Rate raw(int fd, const Load& load, double seconds) {
  io_uring ring;
  io_uring_queue_init(256, &ring, 0);
  std::vector<void*> memory(load.depth);
  for (auto& m : memory) {
    if (posix_memalign(&m, 4096, load.length)) std::abort();
    memset(m, 1, load.length);
  }
  std::mt19937_64 random(1);
  uint64_t ended = 0, position = 0;
  auto submit = [&](unsigned i) {
    const uint64_t offset = load.length > 65536 ? (position += load.length) % file_bytes
                                                : random() % (file_bytes / load.length) * load.length;
    io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    if (load.write) {
      io_uring_prep_write(sqe, fd, memory[i], static_cast<unsigned>(load.length), offset);
    } else {
      io_uring_prep_read(sqe, fd, memory[i], static_cast<unsigned>(load.length), offset);
    }
    io_uring_sqe_set_data64(sqe, i);
  };
  const double processor = processor_seconds();
  const auto start = Clock::now();
  const auto stop = start + std::chrono::duration<double>(seconds);
  for (unsigned i = 0; i < load.depth; ++i) {
    submit(i);
    io_uring_submit(&ring);
  }
  while (Clock::now() < stop) {
    io_uring_cqe* cqe;
    io_uring_wait_cqe(&ring, &cqe);
    const auto i = static_cast<unsigned>(io_uring_cqe_get_data64(cqe));
    io_uring_cqe_seen(&ring, cqe);
    ++ended;
    submit(i);
    io_uring_submit(&ring);
  }
  const double took = std::chrono::duration<double>(Clock::now() - start).count();
  io_uring_queue_exit(&ring);
  for (void* m : memory) std::free(m);
  return {static_cast<double>(ended) / took,
          (processor_seconds() - processor) * 1e6 / static_cast<double>(ended)};
}

struct Slot {
  Request request;
  iovec iov;
  std::shared_ptr<IoRing> ring;
  std::atomic<int> over{1};
};

Rate ours(Device& device, const std::shared_ptr<IoRing>& ring, const Load& load, double seconds) {
  std::vector<Slot> slots(load.depth);
  for (auto& slot : slots) {
    void* m;
    if (posix_memalign(&m, 4096, load.length)) std::abort();
    memset(m, 1, load.length);
    slot.iov = {m, load.length};
    slot.ring = ring;
  }
  std::mt19937_64 random(1);
  uint64_t ended = 0, position = 0;
  auto submit = [&](Slot& slot) {
    Request& r = slot.request;
    slot.over = 0;
    r.op = load.write ? Op::write : Op::read;
    r.offset = load.length > 65536 ? (position += load.length) % file_bytes
                                   : random() % (file_bytes / load.length) * load.length;
    r.length = load.length;
    r.iov = &slot.iov;
    r.iovcnt = 1;
    r.context = &slot;
    r.done = [](Request* self, int result) {
      self->done = [](Request* again, int) {
        auto* s = static_cast<Slot*>(again->context);
        s->over.store(1);
        s->over.notify_one();
      };
      static_cast<Slot*>(self->context)->ring->complete(*self, result);
    };
    device.submit(r);
  };
  const double processor = processor_seconds();
  const auto start = Clock::now();
  const auto stop = start + std::chrono::duration<double>(seconds);
  for (auto& slot : slots) submit(slot);
  for (size_t i = 0; Clock::now() < stop; i = (i + 1) % slots.size()) {
    slots[i].over.wait(0);
    ++ended;
    submit(slots[i]);
  }
  for (auto& slot : slots) slot.over.wait(0);
  const double took = std::chrono::duration<double>(Clock::now() - start).count();
  for (auto& slot : slots) std::free(slot.iov.iov_base);
  return {static_cast<double>(ended) / took,
          (processor_seconds() - processor) * 1e6 / static_cast<double>(ended)};
}

void title(const char* a, const char* b) {
  std::printf("%-28s %10s %10s %7s %9s %9s %9s\n", "", a, b, "ratio", "more us", "cpu us", "cpu us");
}

void row(const char* name, const Rate& a, const Rate& b) {
  std::printf("%-28s %10.0f %10.0f %7.2f %9.1f %9.1f %9.1f\n", name, a.per_second, b.per_second,
              b.per_second / a.per_second, 1e6 / b.per_second - 1e6 / a.per_second, a.processor_us,
              b.processor_us);
  std::fflush(stdout);
}

// A chain over files: `depth` frozen layers that own every eighth of the image each, and a head that owns all
// or nothing.
struct FileChain {
  std::shared_ptr<IoRing> ring = std::make_shared<IoRing>();
  std::vector<LayerSpec> layers;
  Chain chain{[](bool) {}};
  std::unique_ptr<Align> align;

  std::shared_ptr<Device> volume() {
    return std::make_shared<FileVolume>(temporary_file(), layer::data_offset + file_bytes, ring);
  }
  void add(bool frozen) {
    layers.insert(layers.begin(), {.id = std::to_string(layers.size()),
                                   .is_cow = true,
                                   .is_frozen = frozen,
                                   .size = file_bytes,
                                   .volume = volume()});
  }
  void open() {
    if (chain.set_layers(layers, file_bytes, Chain::Leave::write)) std::abort();
    align = std::make_unique<Align>(chain, file_bytes);
  }
  void fill(uint64_t from, uint64_t step) {
    Sync sync(chain, ring);
    Bytes data(1 << 20, 3);
    for (uint64_t at = from; at < file_bytes; at += step) sync.write(at, data.data(), data.size());
    sync.flush();
  }
};

void chains(double seconds) {
  const Load writes{true, false, 32, 4096}, reads{false, false, 8, 1 << 20};
  FileChain plain;
  plain.layers = {
      {.id = "p", .is_cow = false, .is_frozen = false, .size = file_bytes, .volume = plain.volume()}};
  plain.open();
  plain.fill(0, 1 << 20);
  const Rate plain_writes = ours(*plain.align, plain.ring, writes, seconds);
  const Rate plain_reads = ours(*plain.align, plain.ring, reads, seconds);

  FileChain clone;
  clone.add(false);
  clone.open();
  const Rate fresh = ours(*clone.align, clone.ring, writes, seconds);
  clone.fill(0, 1 << 20);
  const Rate owned = ours(*clone.align, clone.ring, writes, seconds);

  FileChain deep;
  for (uint64_t i = 0; i < 8; ++i) {
    deep.add(false);
    deep.open();
    deep.fill(i << 20, 8 << 20);
    deep.layers[0].is_frozen = true;
  }
  deep.add(false);
  deep.open();
  const Rate through = ours(*deep.align, deep.ring, reads, seconds);
  title("plain", "layers");
  row("4 KiB write, fresh clone", plain_writes, fresh);
  row("4 KiB write, owned clone", plain_writes, owned);
  row("1 MiB read, 8 layers", plain_reads, through);
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 1.0;
  UniqueFd file = temporary_file();
  Bytes chunk(1 << 20, 1);
  for (uint64_t at = 0; at < file_bytes; at += chunk.size()) {
    if (pwrite(file.get(), chunk.data(), chunk.size(), static_cast<off_t>(at)) < 0) return 1;
  }
  fsync(file.get());
  title("io_uring", "ours");
  for (bool direct : {false, true}) {
    for (bool write : {false, true}) {
      for (const Load& load :
           {Load{write, direct, 1, 4096}, Load{write, direct, 32, 4096}, Load{write, direct, 8, 1 << 20}}) {
        auto again = [&] {
          return UniqueFd(open(("/proc/self/fd/" + std::to_string(file.get())).c_str(),
                               O_RDWR | O_CLOEXEC | (direct ? O_DIRECT : 0)));
        };
        UniqueFd plain = again();
        const Rate a = raw(plain.get(), load, seconds);
        auto ring = std::make_shared<IoRing>();
        FileVolume volume(again(), file_bytes, ring, {.direct = direct});
        Align align(volume, file_bytes);
        const Rate b = ours(align, ring, load, seconds);
        char name[64];
        std::snprintf(name, sizeof name, "%s %s %llu KiB, depth %u", direct ? "direct" : "cached",
                      write ? "write" : "read", static_cast<unsigned long long>(load.length / 1024),
                      load.depth);
        row(name, a, b);
        fsync(file.get());
      }
    }
  }
  chains(seconds);
  return 0;
}
