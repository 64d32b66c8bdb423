// rbd bench: many requests of one size against an image, and how fast they went. The figures are Ceph's own layout.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cinttypes>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>

#include "data/commands.h"
#include "data/flow.h"
#include "data/image.h"

namespace cbd::hooks {
namespace {

const std::vector<Option> options = {{"pool", 'p'}, {"namespace"}, {"image"}, {"io-size"}, {"io-threads"}, {"io-total"}, {"io-pattern"},
                                     {"rw-mix-read"}, {"io-type"}};

constexpr uint64_t most_threads = 65536;

enum class Pattern { sequential, random, full_sequential };

struct Plan {
  std::string type;  // "read", "write", "readwrite"
  uint64_t size = 4096;
  uint64_t threads = 16;
  uint64_t total = uint64_t{1} << 30;
  Pattern pattern = Pattern::sequential;
  uint64_t percent_reads = 50;
};

uint64_t count_of(const Words& words, const char* option, uint64_t otherwise) {
  auto text = words.text(option);
  if (!text) return otherwise;
  if (text->empty() || text->size() > 9 || text->find_first_not_of("0123456789") != std::string::npos) {
    throw Failure{1, "rbd: the argument ('" + *text + "') for option '--" + option + "' is invalid\n"};
  }
  return std::stoull(*text);
}

uint64_t bytes_of(const Words& words, const char* option, uint64_t otherwise) {
  auto text = words.text(option);
  return text ? parse_bytes(option, *text) : otherwise;
}

Pattern pattern_of(const std::string& text) {
  if (text == "seq") return Pattern::sequential;
  if (text == "rand") return Pattern::random;
  if (text == "full-seq") return Pattern::full_sequential;
  throw bad_argument("io-pattern");
}

// `is_write`: for bench-write, which needs no --io-type.
Plan plan_of(const Words& words, bool is_write) {
  Plan plan;
  plan.type = is_write ? "write" : words.text("io-type").value_or("");
  if (plan.type == "rw") plan.type = "readwrite";
  if (words.has("io-type") && plan.type != "read" && plan.type != "write" && plan.type != "readwrite") throw bad_argument("io-type");
  plan.size = bytes_of(words, "io-size", plan.size);
  plan.threads = count_of(words, "io-threads", plan.threads);
  plan.total = bytes_of(words, "io-total", plan.total);
  if (auto text = words.text("io-pattern")) plan.pattern = pattern_of(*text);
  plan.percent_reads = count_of(words, "rw-mix-read", plan.percent_reads);
  if (plan.type.empty()) throw Failure{EINVAL, "rbd: --io-type must be specified.\n"};
  return plan;
}

void check(const Plan& plan, uint64_t image_size) {
  auto wrong = [](const std::string& text) { return Failure{EINVAL, "rbd: " + text + "\n"}; };
  if (plan.size == 0) throw wrong("--io-size should be greater than zero.");
  if (plan.threads == 0) throw wrong("--io-threads should be greater than zero.");
  if (plan.threads > most_threads) throw wrong("--io-threads should not be larger than " + std::to_string(most_threads) + ".");
  if (plan.percent_reads > 100) throw wrong("--rw-mix-read should not be larger than 100.");
  auto no = [](const std::string& text) { return Failure{EINVAL, "rbd: " + text + "\nbench failed: (22) Invalid argument\n"}; };
  if (plan.size > image_size) throw no("io-size " + show_bytes(plan.size) + " larger than image size " + show_bytes(image_size));
  if (plan.size >= (uint64_t{1} << 32)) throw no("io-size should be less than 4G");
}

class Bench {
 public:
  Bench(rbd_image_t image, uint64_t image_size, const Plan& plan) : image_(image), image_size_(image_size), plan_(plan), random_(std::random_device{}()) {}

  // 0 or -errno of the first request that failed.
  int run() {
    start_ = last_line_ = Clock::now();
    place_threads();
    int error = 0;
    for (uint64_t done = 0, at = 0; done < plan_.total && error == 0 && !is_interrupted(); done += plan_.size, ++at) {
      error = submit(at % plan_.threads);
      show_second();
    }
    std::unique_lock<std::mutex> hold(lock_);
    changed_.wait(hold, [&] { return flying_ == 0; });
    if (error == 0) error = error_;
    if (error == 0 && plan_.type != "read") error = rbd_flush(image_);
    return error;
  }

  void show_result() const {
    const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    auto rate = [&](uint64_t count) { return static_cast<double>(count) / seconds; };
    auto bytes = [&](uint64_t count) { return show_bytes(static_cast<uint64_t>(rate(count) * static_cast<double>(plan_.size))); };
    const uint64_t all = reads_ + writes_;
    printf("elapsed: %d   ops: %" PRIu64 "   ops/sec: %g   bytes/sec: %s/s\n", static_cast<int>(seconds), all, rate(all), bytes(all).c_str());
    if (plan_.type != "readwrite") return;
    printf("read_ops: %" PRIu64 "   read_ops/sec: %g   read_bytes/sec: %s/s\n", reads_, rate(reads_), bytes(reads_).c_str());
    printf("write_ops: %" PRIu64 "   write_ops/sec: %g   write_bytes/sec: %s/s\n", writes_, rate(writes_), bytes(writes_).c_str());
  }

 private:
  using Clock = std::chrono::steady_clock;

  struct Flying {
    Bench* bench;
    std::vector<char> data;
  };

  void place_threads() {
    const uint64_t share = image_size_ / plan_.size / plan_.threads * plan_.size;
    for (uint64_t thread = 0; thread < plan_.threads; ++thread) {
      next_.push_back(plan_.pattern == Pattern::full_sequential ? thread * plan_.size : thread * share);
    }
  }

  uint64_t offset_of(uint64_t thread) {
    const uint64_t places = image_size_ / plan_.size;
    if (plan_.pattern == Pattern::random) return random_() % places * plan_.size;
    const uint64_t step = plan_.pattern == Pattern::full_sequential ? plan_.size * plan_.threads : plan_.size;
    const uint64_t offset = next_[thread] + plan_.size <= image_size_ ? next_[thread] : next_[thread] % plan_.size;
    next_[thread] = offset + step;
    return offset;
  }

  int submit(uint64_t thread) {
    {
      std::unique_lock<std::mutex> hold(lock_);
      changed_.wait(hold, [&] { return flying_ < plan_.threads; });
      if (error_ != 0) return error_;
      ++flying_;
    }
    const bool is_read = plan_.type == "read" || (plan_.type == "readwrite" && random_() % 100 < plan_.percent_reads);
    ++(is_read ? reads_ : writes_);
    auto one = std::make_unique<Flying>(Flying{this, std::vector<char>(plan_.size, static_cast<char>(random_()))});
    rbd_completion_t completion;
    int result = rbd_aio_create_completion(one.get(), done, &completion);
    if (result == 0) {
      const uint64_t offset = offset_of(thread);
      result = is_read ? rbd_aio_read(image_, offset, plan_.size, one->data.data(), completion)
                       : rbd_aio_write(image_, offset, plan_.size, one->data.data(), completion);
      if (result < 0) rbd_aio_release(completion);
    }
    if (result < 0) {
      std::lock_guard<std::mutex> hold(lock_);
      --flying_;
      return result;
    }
    one.release();
    return 0;
  }

  static void done(rbd_completion_t completion, void* context) {
    std::unique_ptr<Flying> one(static_cast<Flying*>(context));
    const int result = static_cast<int>(rbd_aio_get_return_value(completion));
    rbd_aio_release(completion);
    Bench& bench = *one->bench;
    std::lock_guard<std::mutex> hold(bench.lock_);
    if (result < 0 && bench.error_ == 0) bench.error_ = result;
    --bench.flying_;
    bench.changed_.notify_all();
  }

  void show_second() {
    const auto now = Clock::now();
    if (now - last_line_ < std::chrono::seconds(1)) return;
    last_line_ = now;
    uint64_t flying;
    {
      std::lock_guard<std::mutex> hold(lock_);
      flying = flying_;
    }
    const double seconds = std::chrono::duration<double>(now - start_).count();
    const uint64_t ops = reads_ + writes_ - flying;
    const double rate = static_cast<double>(ops) / seconds;
    printf("%5d%10" PRIu64 "%10g%10s/s\n", static_cast<int>(seconds), ops, rate, show_bytes(static_cast<uint64_t>(rate * static_cast<double>(plan_.size))).c_str());
    fflush(stdout);
  }

  rbd_image_t image_;
  const uint64_t image_size_;
  const Plan plan_;
  std::minstd_rand random_;
  std::vector<uint64_t> next_;
  uint64_t reads_ = 0, writes_ = 0;
  Clock::time_point start_, last_line_;
  std::mutex lock_;  // guards the two below
  std::condition_variable changed_;
  uint64_t flying_ = 0;
  int error_ = 0;
};

int run(rados_t cluster, const std::vector<std::string>& argv, bool is_write) {
  Words words(options, argv, 1);
  Spec spec = image_spec(words, 0, false);
  Plan plan = plan_of(words, is_write);
  Pool pool(cluster, spec.pool, spec.name_space);
  Image image(pool, spec.image, "", plan.type == "read");
  check(plan, image.size());
  watch_interrupts();
  std::string mix;
  if (plan.type == "readwrite") mix = "read:write=" + std::to_string(plan.percent_reads) + ":" + std::to_string(100 - plan.percent_reads) + " ";
  const char* pattern = plan.pattern == Pattern::random ? "random" : plan.pattern == Pattern::sequential ? "sequential" : "full sequential";
  printf("bench  type %s %sio_size %" PRIu64 " io_threads %" PRIu64 " bytes %" PRIu64 " pattern %s\n", plan.type.c_str(), mix.c_str(), plan.size,
         plan.threads, plan.total, pattern);
  puts("  SEC       OPS   OPS/SEC   BYTES/SEC");
  fflush(stdout);
  Bench bench(image.handle(), image.size(), plan);
  int result = bench.run();
  if (result == 0) bench.show_result();
  if (int closed = image.close(); result == 0) result = closed;
  if (result < 0) throw failure("bench failed", result);
  return 0;
}

}  // namespace

int run_bench(rados_t cluster, const std::vector<std::string>& argv) { return run(cluster, argv, false); }

int run_bench_write(rados_t cluster, const std::vector<std::string>& argv) {
  fputs("rbd: bench-write is deprecated, use rbd bench --io-type write ...\n", stderr);
  return run(cluster, argv, true);
}

}  // namespace cbd::hooks
