// Measures the NEBD driver against a server that answers at once from memory, in another process. Prints one figure a line:
// name, value, unit. Not a test.
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "block/nebd_wire.h"
#include "block/volume_nebd.h"
#include "curvebs/bare_client.h"
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

  Load(Device& device_, Op op_, uint64_t bytes_, int count, int depth)
      : device(device_), op(op_), bytes(bytes_), left(count), slots(static_cast<size_t>(depth)) {}

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

void one_by_one(Device& device, Op op, int count) {
  std::vector<uint8_t> memory(4096);
  iovec vec{memory.data(), memory.size()};
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
}

// Microseconds a request, of the clock and of this process's processor time.
struct Cost {
  double wall;
  double cpu;
};

Cost cost_of(int count, const std::function<void()>& work) {
  const double cpu = cpu_seconds();
  const auto begin = Clock::now();
  work();
  return {seconds_since(begin) * 1e6 / count, (cpu_seconds() - cpu) * 1e6 / count};
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// What several ways of doing `count` requests cost. What the kernel and a server that sleeps on another core
// take for theirs is another thing each second; so they go by turns, and these are the medians of the rounds.
std::vector<Cost> by_turns(int rounds, int count, const std::vector<std::function<void()>>& ways) {
  std::vector<std::vector<double>> wall(ways.size()), cpu(ways.size());
  for (int round = 0; round < rounds; ++round) {
    for (size_t way = 0; way < ways.size(); ++way) {
      const Cost cost = cost_of(count, ways[way]);
      wall[way].push_back(cost.wall);
      cpu[way].push_back(cost.cpu);
    }
  }
  std::vector<Cost> medians;
  for (size_t way = 0; way < ways.size(); ++way) medians.push_back({median(wall[way]), median(cpu[way])});
  return medians;
}

void print(const std::string& name, double value, const char* unit) { print(name.c_str(), value, unit); }

// A request at a time: what the driver adds to the socket's round trip, which is the same frames by a client
// that does nothing else.
void single_requests(Device& device, cbd::test::BareClient& bare, Op op) {
  const auto method = op == Op::read ? nebd::Method::read : nebd::Method::write;
  const std::string name = op == Op::read ? "4 KiB read, depth 1" : "4 KiB write, depth 1";
  constexpr int rounds = 11, count = 2000;
  const auto costs = by_turns(rounds, count, {
      [&] { bare.one_by_one(method, count); },
      [&] { one_by_one(device, op, count); },
      [&] { Load(device, op, 4096, count, 1).run(); },
  });
  print(name + ": the socket's round trip", costs[0].wall, "us");
  print(name + ": added, blocking", costs[1].wall - costs[0].wall, "us");
  print(name + ": added, asynchronous", costs[2].wall - costs[0].wall, "us");
}

void many_requests(Device& device, Op op) {
  const std::string name = op == Op::read ? "4 KiB read, depth 32" : "4 KiB write, depth 32";
  constexpr int count = 300000;
  const Cost cost = cost_of(count, [&] { Load(device, op, 4096, count, 32).run(); });
  print(name, 1e6 / cost.wall, "requests/s");
  print(name + ": client's processor time", cost.cpu, "us a request");
  print(name + ": by one core of client", 1e6 / cost.cpu, "requests/s");
}

// The same writes by the driver, by a bare client, and by one that copies the data once more.
void large_writes(Device& device, cbd::test::BareClient& bare) {
  constexpr int rounds = 15, count = 400, depth = 4;
  const char* names[] = {"1 MiB writes", "1 MiB writes by a bare loop", "1 MiB writes by one that copies once more"};
  const auto costs = by_turns(rounds, count, {
      [&] { Load(device, Op::write, 1 << 20, count, depth).run(); },
      [&] { bare.write_large(count, depth); },
      [&] { bare.copy_and_write_large(count, depth); },
  });
  for (size_t way = 0; way < costs.size(); ++way) print(std::string(names[way]) + ": processor time", costs[way].cpu, "us a request");
}

// A server that answers at once from memory, in a process of its own.
class Server {
 public:
  Server() {
    if (!mkdtemp(folder_)) std::abort();
    path = std::string(folder_) + "/nebd.sock";
    process_ = fork();
    if (process_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      cbd::test::MemoryNebd nebd(path, volume_bytes);
      nebd.keeps_data = false;
      nebd.start();
      for (;;) pause();
    }
    while (access(path.c_str(), F_OK) != 0) usleep(1000);
  }
  ~Server() {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
    unlink(path.c_str());
    rmdir(folder_);
  }
  Server(const Server&) = delete;

  NebdVolume::Options volume() const {
    NebdVolume::Options options;
    options.socket = path;
    options.file = "cbd:bench//pool/disk_user1_:";
    options.size = volume_bytes;
    return options;
  }

  std::string path;

 private:
  char folder_[32] = "/tmp/cbd-bench-XXXXXX";
  pid_t process_;
};

// What is started from here on, and this thread, stays on one core while it lives.
struct OneCore {
  cpu_set_t before;
  OneCore() {
    sched_getaffinity(0, sizeof before, &before);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  ~OneCore() { sched_setaffinity(0, sizeof before, &before); }
};

// On one core with the server: on two, most of a round trip is one core waking the other, and that is another
// time at each request.
void alone_on_a_core() {
  const OneCore core;
  const Server server;
  NebdVolume volume(server.volume());
  cbd::test::BareClient bare(server.path, volume_bytes);
  for (const Op op : {Op::read, Op::write}) single_requests(volume, bare, op);
  large_writes(volume, bare);
}

void beside_the_server() {
  const Server server;
  const long before = resident_kib();
  NebdVolume volume(server.volume());
  one_by_one(volume, Op::write, 2000);
  print("resident memory added", static_cast<double>(resident_kib() - before) / 1024, "MiB");
  for (const Op op : {Op::read, Op::write}) many_requests(volume, op);
  constexpr int reads = 4000;
  const Cost read = cost_of(reads, [&] { Load(volume, Op::read, 1 << 20, reads, 4).run(); });
  print("1 MiB reads", 1e6 / read.wall, "MiB/s");
  print("1 MiB reads: processor time", read.cpu, "us a request");
  constexpr int writes = 4000;
  print("1 MiB writes", 1e6 / cost_of(writes, [&] { Load(volume, Op::write, 1 << 20, writes, 4).run(); }).wall, "MiB/s");
}

void copying() {
  std::vector<uint8_t> from(64 << 20, 1), to(64 << 20, 2);
  constexpr int count = 10;
  const Cost cost = cost_of(count * 64, [&] {
    for (int i = 0; i < count; ++i) std::memcpy(to.data(), from.data(), from.size());
  });
  print("copying memory", 1e6 / cost.wall, "MiB/s");
}

}  // namespace

int main() {
  beside_the_server();
  alone_on_a_core();
  copying();
  return 0;
}
