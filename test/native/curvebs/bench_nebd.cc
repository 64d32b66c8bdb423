// Measures the NEBD driver against a server that answers at once from memory, in another process. Prints one figure a line:
// name, value, unit. Not a test.
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <string>
#include <vector>

#include "block/nebd_wire.h"
#include "block/volume_nebd.h"
#include "curvebs/memory_nebd.h"

using namespace cbd::block;
using Clock = std::chrono::steady_clock;

namespace {

constexpr uint64_t volume_bytes = 10ull << 30;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

double cpu_seconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

long resident_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::atol(line.c_str() + 6);
  }
  return 0;
}

void print(const char* name, double value, const char* unit) { std::printf("%s\t%.3f\t%s\n", name, value, unit); }

// The socket's round trip: the same frames, by a client that does nothing else. Microseconds a request.
double raw_round_trip(const std::string& path, nebd::Method method, int count) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path.c_str());
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::abort();
  std::vector<uint8_t> out(64 * 1024), in(64 * 1024);
  auto exchange = [&](size_t bytes) {
    if (write(fd, out.data(), bytes) != static_cast<ssize_t>(bytes)) std::abort();
    size_t got = 0, wanted = 12;
    while (got < wanted) {
      const ssize_t n = read(fd, in.data() + got, in.size() - got);
      if (n <= 0) std::abort();
      got += static_cast<size_t>(n);
      if (got >= 12) wanted = 12 + (size_t{in[4]} << 24 | size_t{in[5]} << 16 | size_t{in[6]} << 8 | in[7]);
    }
  };
  exchange(nebd::build_open("cbd:raw//pool/disk_user1_:", 1, out));
  const nebd::Geometry file{volume_bytes, 4096};
  const auto begin = Clock::now();
  for (int i = 0; i < count; ++i) {
    const size_t head = nebd::build_io(method, 1, 2, 0, 4096, file, out);
    exchange(head + (method == nebd::Method::write ? 4096 : 0));
  }
  const double each = seconds_since(begin) * 1e6 / count;
  close(fd);
  return each;
}

struct Load {
  Device& device;
  Op op;
  uint64_t bytes;
  int left;
  std::atomic<int> running{0};
  std::mutex lock;  // guards `left`, `at`, and the waiting for `running` to become 0
  std::condition_variable ended;
  uint64_t at = 0;

  struct Slot : Request {
    Load* load;
    std::vector<uint8_t> memory;
    iovec vec;
  };
  std::vector<Slot> slots;

  Load(Device& device_, Op op_, uint64_t bytes_, int count, int depth) : device(device_), op(op_), bytes(bytes_), left(count), slots(static_cast<size_t>(depth)) {}

  void next(Slot& slot) {
    {
      std::lock_guard<std::mutex> guard(lock);
      if (left-- <= 0) {
        if (--running == 0) ended.notify_all();
        return;
      }
      slot.offset = at % (1ull << 30);
      at += bytes;
    }
    device.submit(slot);
  }

  void run() {
    running = static_cast<int>(slots.size());
    for (Slot& slot : slots) {
      slot.load = this;
      slot.memory.resize(bytes, 1);
      slot.vec = {slot.memory.data(), bytes};
      slot.op = op;
      slot.length = bytes;
      slot.iov = &slot.vec;
      slot.iovcnt = 1;
      slot.done = [](Request* self, int result) {
        if (result != 0) std::abort();
        auto* mine = static_cast<Slot*>(self);
        mine->load->next(*mine);
      };
    }
    for (Slot& slot : slots) next(slot);
    std::unique_lock<std::mutex> guard(lock);
    ended.wait(guard, [this] { return running == 0; });
  }
};

double blocking_each(Device& device, Op op, int count) {
  std::vector<uint8_t> memory(4096);
  iovec vec{memory.data(), memory.size()};
  const auto begin = Clock::now();
  for (int i = 0; i < count; ++i) {
    Request request;
    request.op = op;
    request.may_block = true;
    request.length = 4096;
    request.iov = &vec;
    request.iovcnt = 1;
    request.done = [](Request*, int result) {
      if (result != 0) std::abort();
    };
    device.submit(request);
  }
  return seconds_since(begin) * 1e6 / count;
}

}  // namespace

int main() {
  char folder[] = "/tmp/cbd-bench-XXXXXX";
  if (!mkdtemp(folder)) return 1;
  const std::string path = std::string(folder) + "/nebd.sock";
  const pid_t server = fork();
  if (server == 0) {
    cbd::test::MemoryNebd nebd(path, volume_bytes);
    nebd.keeps_data = false;
    nebd.start();
    for (;;) pause();
  }
  while (access(path.c_str(), F_OK) != 0) usleep(1000);

  const long before = resident_kib();
  {
    NebdVolume::Options options;
    options.socket = path;
    options.file = "cbd:bench//pool/disk_user1_:";
    options.size = volume_bytes;
    NebdVolume volume(options);
    blocking_each(volume, Op::write, 2000);
    print("resident memory added", static_cast<double>(resident_kib() - before) / 1024, "MiB");
    const std::pair<Op, nebd::Method> kinds[] = {{Op::read, nebd::Method::read}, {Op::write, nebd::Method::write}};
    for (auto [op, method] : kinds) {
      const char* name = op == Op::read ? "read" : "write";
      const double raw = raw_round_trip(path, method, 20000);
      const double blocking = blocking_each(volume, op, 20000);
      auto begin = Clock::now();
      Load(volume, op, 4096, 20000, 1).run();
      const double async = seconds_since(begin) * 1e6 / 20000;
      print((std::string("4 KiB ") + name + ", depth 1: the socket's round trip").c_str(), raw, "us");
      print((std::string("4 KiB ") + name + ", depth 1: added, blocking").c_str(), blocking - raw, "us");
      print((std::string("4 KiB ") + name + ", depth 1: added, asynchronous").c_str(), async - raw, "us");
      const double cpu = cpu_seconds();
      begin = Clock::now();
      constexpr int count = 300000;
      Load(volume, op, 4096, count, 32).run();
      const double wall = seconds_since(begin), used = cpu_seconds() - cpu;
      print((std::string("4 KiB ") + name + ", depth 32").c_str(), count / wall, "requests/s");
      print((std::string("4 KiB ") + name + ", depth 32: client's processor time").c_str(), used * 1e6 / count, "us a request");
      print((std::string("4 KiB ") + name + ", depth 32: by one core of client").c_str(), count / used, "requests/s");
    }
    for (auto [op, method] : kinds) {
      const double cpu = cpu_seconds();
      const auto begin = Clock::now();
      Load(volume, op, 1 << 20, 4000, 4).run();
      const double wall = seconds_since(begin), used = cpu_seconds() - cpu;
      print(op == Op::read ? "1 MiB reads" : "1 MiB writes", 4000 / wall, "MiB/s");
      print(op == Op::read ? "1 MiB reads: client's processor time" : "1 MiB writes: client's processor time", used * 1e6 / 4000, "us a request");
    }
    std::vector<uint8_t> from(64 << 20, 1), to(64 << 20, 2);
    const auto begin = Clock::now();
    for (int i = 0; i < 10; ++i) std::memcpy(to.data(), from.data(), from.size());
    print("copying memory", 640 / seconds_since(begin), "MiB/s");
  }
  kill(server, SIGKILL);
  waitpid(server, nullptr, 0);
  unlink(path.c_str());
  rmdir(folder);
  return 0;
}
