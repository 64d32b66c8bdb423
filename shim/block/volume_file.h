// A volume in a file, through the page cache or around it (O_DIRECT). Knows nothing of layers or sessions.
#pragma once

#include <atomic>
#include <memory>

#include "block/device.h"
#include "block/io_ring.h"
#include "control/unique_fd.h"

namespace cbd::block {

class FileVolume : public Device {
 public:
  struct Options {
    // Around the page cache. Falls back to the page cache where the file system refuses O_DIRECT (tmpfs).
    bool direct = false;
  };

  // `fd` becomes the volume's own; with `direct` its open file description must be too (the flag belongs to
  // that). `size` in bytes: what is addressed; the file may be shorter, and reads past its end are zeroes.
  FileVolume(UniqueFd fd, uint64_t size, std::shared_ptr<IoRing> ring, Options options);
  FileVolume(UniqueFd fd, uint64_t size, std::shared_ptr<IoRing> ring)
      : FileVolume(std::move(fd), size, std::move(ring), Options{}) {}
  ~FileVolume() override;

  void submit(Request& request) override;
  // With O_DIRECT rounded up to whole blocks.
  uint64_t size() const override;
  // 1 through the page cache: the kernel is exact to the byte, across processes.
  uint32_t block_size() const override { return block_; }
  bool discard_zeroes() const override { return true; }
  int extents(uint64_t offset, uint64_t length, std::vector<Extent>& out) override;

  // The image grew or shrank; the file's own length is left alone.
  void set_size(uint64_t size) { size_.store(size, std::memory_order_release); }
  bool is_direct() const { return block_ > 1; }

 private:
  struct Transfer;
  void begin(Request& request);
  void try_direct();
  // Takes what fdatasync() gave and returns the flush's result.
  int remember_sync(int outcome);

  UniqueFd fd_;
  std::atomic<uint64_t> size_;
  std::shared_ptr<IoRing> ring_;
  // The first error of a flush, and the result of all that come after it: the kernel tells of a page that it could not
  // write once, takes it for written from then on, and would say that the next flush has gone well.
  std::atomic<int> failed_sync_{0};
  std::atomic<bool> tries_cache_{true};  // for reads, on the submitting thread
  bool has_name_ = false;                // as it was opened
  uint32_t block_ = 1;                   // of offsets and lengths
  uint32_t memory_align_ = 1;            // of client memory
};

}  // namespace cbd::block
