// What a nebd-server's client cannot do without: the driver's own frames by a single thread that knows nothing but its socket. The
// measure for what the driver adds to it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "block/nebd_wire.h"

namespace cbd::test {

class BareClient {
 public:
  // Aborts where it cannot connect, as everything here does on an error.
  BareClient(const std::string& path, uint64_t volume_bytes);
  ~BareClient();

  // So many requests of 4 KiB, each sent when the one before has been answered.
  void one_by_one(block::nebd::Method method, int count);
  // So many writes of 1 MiB, `depth` of them under way at a time, each handed to the kernel in one call from where its data lies.
  void write_large(int count, int depth);
  // The same, but the data is copied once more before.
  void copy_and_write_large(int count, int depth);

 private:
  void write_large(int count, int depth, std::vector<uint8_t>* copy);
  void send(const uint8_t* head, size_t head_bytes, const uint8_t* data, size_t data_bytes);
  void take_reply();

  const block::nebd::Geometry file_;
  int fd_;
  uint64_t at_ = 0;  // where the next large write goes
  std::vector<uint8_t> in_;
  size_t held_ = 0;  // bytes in `in_`
};

}  // namespace cbd::test
