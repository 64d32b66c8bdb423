// A volume in memory for tests: sparse, and able to hold requests back, answer them out of order, fail, fill
// up, and record what a power loss would leave. It refuses what a real volume must never see.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <unordered_map>
#include <vector>

#include "block/device.h"

namespace cbd::block {

class MemoryVolume : public Device {
 public:
  struct Options {
    uint64_t size = 0;
    uint32_t block_size = 4096;
    bool discard_zeroes = true;  // else a discard changes nothing, as on CurveBS
    bool record = false;
  };

  // A change in the order in which the volume saw it; `data` is empty for zero, discard and flush.
  struct Record {
    Op op;
    uint64_t offset;
    uint64_t length;
    std::vector<std::byte> data;
  };

  explicit MemoryVolume(Options options);
  // Answers what is still held.
  ~MemoryVolume() override;

  void submit(Request& request) override;
  uint64_t size() const override { return size_; }
  uint32_t block_size() const override { return options_.block_size; }
  bool discard_zeroes() const override { return options_.discard_zeroes; }
  int extents(uint64_t offset, uint64_t length, std::vector<Extent>& out) override;

  // From now on requests that may not block are kept until release(), oldest first, or until a thread of the
  // volume's own takes them in random order.
  void hold();
  void answer_from_thread(uint32_t seed);
  // Carries out the held request of that index and answers it; returns how many are left.
  size_t release(size_t index);
  size_t held() const;
  void stop_holding();

  // `decide` is asked before each request and returns 0 or the -errno to answer it with (it then has no
  // effect).
  void fail_if(std::function<int(const Request&)> decide);
  // At most so many bytes are ever kept; writes beyond give -ENOSPC.
  void set_capacity(uint64_t bytes) { capacity_ = bytes; }
  void set_size(uint64_t size) { size_ = size; }

  // Direct access, for checks.
  void peek(uint64_t offset, void* to, uint64_t length) const;
  void poke(uint64_t offset, const void* from, uint64_t length);
  uint64_t bytes_kept() const;
  uint64_t count(Op op) const { return counts_[static_cast<size_t>(op)]; }

  const std::vector<Record>& records() const { return records_; }
  void clear_records() { records_.clear(); }
  // Carries one record out, or the first `bytes` of it.
  void apply(const Record& record, uint64_t bytes);
  void apply(const Record& record) { apply(record, record.length); }
  std::unique_ptr<MemoryVolume> copy() const;

 private:
  static constexpr uint64_t page_bytes = 4096;
  using Page = std::array<std::byte, page_bytes>;

  int carry_out(Request& request);
  void put(uint64_t offset, const std::byte* from, uint64_t length);
  void clear(uint64_t offset, uint64_t length);
  void get(uint64_t offset, std::byte* to, uint64_t length) const;
  void serve();

  const Options options_;
  std::atomic<uint64_t> size_;
  mutable std::mutex lock_;  // guards all below
  std::condition_variable arrived_;
  std::unordered_map<uint64_t, std::unique_ptr<Page>> pages_;
  std::vector<Request*> held_;
  bool holding_ = false;
  bool stop_ = false;
  std::function<int(const Request&)> decide_;
  std::atomic<uint64_t> capacity_{UINT64_MAX};
  std::atomic<uint64_t> counts_[6] = {};
  std::vector<Record> records_;
  std::mt19937 random_;
  std::thread thread_;
};

}  // namespace cbd::block
