// rbd_image_t: an image that a client has open. It keeps what the daemon said of it, answers what the daemon asks, and
// owns its I/O. The C functions over it are in one file a feature.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <thread>

#include "abi/ceph_api.h"
#include "control/client.h"
#include "control/fork.h"
#include "rados/handles.h"
#include "rbd/completion.h"
#include "rbd/event_socket.h"
#include "rbd/image_io.h"
#include "rbd/image_state.h"
#include "rbd/watchers.h"

namespace cbd::rbd {

using control::Json;
using control::Reply;

// What to open.
struct OpenTarget {
  std::string name, id;  // one of the two
  std::string snap;      // "" is the image itself
  std::optional<uint64_t> snap_id;  // in place of a name
  bool read_only = false;
};

class Image : public control::Listener, public CompletionOwner, public control::ForkAware {
 public:
  // Opens `target`; the caller closes it. Returns null and -errno in `error` where that fails.
  static Image* open(const rados::IoCtx& at, const OpenTarget& target, int& error);
  // Finishes what is under way, makes it durable, tells the daemon and deletes the image. Returns 0, or -errno of the flush:
  // the image is closed all the same. From the image's own callback too: the close comes after it then, and nobody is told
  // of its flush; -EAGAIN where there is no thread for that, and the image stays open.
  int close();
  // Around a call that uses the image after callbacks may have run: a close waits for it.
  void begin_use() { calls_.get().count.fetch_add(2); }
  void end_use() { completion_finished(); }

  // What the C handle points at. The first call on it in a forked child makes it the child's own.
  static Image* from(rbd_image_t handle) {
    auto* image = static_cast<Image*>(handle);
    if (image != nullptr && image->generation_.load(std::memory_order_relaxed) != fork_generation()) image->adopt();
    return image;
  }

  // What the daemon said last. Cheap; never waits for the daemon.
  std::shared_ptr<const ImageState> state() const;
  const rados::IoCtx& at() const { return at_; }
  ImageIo& io() { return *io_; }
  Watchers& watchers() { return watchers_; }
  EventSocket& events() { return events_; }
  BufferPool& buffers() { return buffers_; }

  // 0, or why the image cannot be written: -EROFS for a read-only or snapshot handle, or while another client holds the
  // managed lock.
  int write_error() const {
    const int error = write_error_.load(std::memory_order_acquire);
    return error == 0 && manages_lock_.load(std::memory_order_relaxed) && lacks_lock() ? -EROFS : error;
  }
  // rbd_lock_acquire was called: from now on the handle writes only while it has the lock, which no write brings.
  void manage_lock() { manages_lock_.store(true); }
  bool is_read_only() const;
  // 0, or -ENOENT where the snapshot that the handle is at is gone.
  int read_error() const { return read_error_.load(std::memory_order_acquire); }
  // Takes the state that a call answered with, and tells the daemon so. Returns 0 or -errno.
  int take(Reply& reply);
  // rbd_disable_zero_copy_writes: an asynchronous write takes a copy, since the client may free his memory at once
  // (python3-rbd does).
  bool copies_writes() const { return copies_writes_.load(std::memory_order_relaxed); }
  // rbd_discard_granularity_bytes as it holds now.
  uint64_t discard_granularity() const { return discard_granularity_.load(std::memory_order_relaxed); }

  // Calls `method` with this image's handle in `params`.
  Reply call(const char* method, Json params, const std::function<int(uint64_t, uint64_t)>& progress = {});
  // The same for a call that changes something: adds the `op` by which the daemon knows a repetition.
  Reply change(const char* method, Json params, const std::function<int(uint64_t, uint64_t)>& progress = {});
  // Makes durable what this handle wrote to the head, and writes no more without new leave. Returns 0 or -errno.
  int flush_head();
  // Runs `work` while this handle owns the head, for which it asks, and nothing of its own is under way; nobody else writes
  // before `work` has returned, which may use io().run_behind_gate() alone. Returns what it does; -EAGAIN where the head is
  // one that all may write to; -errno where the leave is not given.
  int run_as_owner(const std::function<int()>& work);
  // Tells the daemon whether there are quiesce watchers, which it asks before a snapshot. One that is away hears it when the image is
  // attached again.
  void tell_listens();
  // Asks the daemon for the state anew. Returns 0 or -errno.
  int refresh();

  // A configuration option as it holds for this image: its metadata, then the pool's, then the client's.
  std::string config(const std::string& name) const;
  uint64_t config_number(const std::string& name, uint64_t otherwise) const;

  // The same parameters, and what becomes of a client whose lock is broken: rbd_blocklist_on_break_lock and its duration.
  Json with_fencing(Json params) const;

  // Begins an asynchronous call: it is counted until its callback has returned.
  void begin(Completion& completion);
  // Ends one that needs no I/O (any more), on the image's thread.
  void end(Completion& completion, ssize_t result);

  // A write is about to be submitted: says so to the daemon where it must know (never waits for it).
  void note_write();
  void note_read();
  // The same for what takes the lock by itself without writing.
  void note_lock();
  // Whether this handle is the one that wrote last, as librbd's automatic exclusive lock would have it.
  bool owns_lock() const;
  bool lacks_lock() const;
  // True the first time that a handle asks.
  bool is_first_look() { return !has_looked_.exchange(true); }
  // Who has the managed lock, as the daemon said at `serial`; 0 where it says no serial.
  void set_managed_lock(ManagedLock lock, uint64_t serial);
  // Takes the automatic lock, if the handle may write and nobody has it; what it is taken for goes on without it.
  void take_free_lock();
  // The lock was given back: the next write takes it anew.
  void forget_lock(uint64_t serial);

  void on_call(const std::string& method, const Json& params, std::vector<UniqueFd> fds,
               std::function<void(int, Json)> answer) override;
  void on_reconnect() override;

  void callback_returned(Completion& completion) override;
  void completion_finished() override;
  bool wait_on_thread(Completion& completion) override;

  void before_fork() override;
  void after_fork_in_parent() override;
  void after_fork_in_child() override;

 private:
  Image(const rados::IoCtx& at, const OpenTarget& target);
  ~Image() override;

  Json target_json() const;
  // Takes a state that the daemon sent; `fds` belong to its layers. Of two states the newer one counts, whichever
  // comes first. Returns 0 (this one or a newer one is in force) or -errno.
  int apply(const Json& json, std::vector<UniqueFd> fds);
  // The daemon's leave to read or write is asked for, without waiting.
  void ask(bool write);
  void give_up(const Json& params, const std::function<void(int, Json)>& answer);
  void quiesce(const Json& params, const std::function<void(int, Json)>& answer);
  void resume(const Json& params, std::vector<UniqueFd> fds);
  void watch_quiesced(uint64_t round);
  void end_quiesce(uint64_t round);
  void stop_watching();
  void apply_limits();
  void adopt();
  void wait_until_idle();
  int finish_close();
  void change_state(const std::function<void(ImageState&)>& edit);

  const rados::IoCtx at_;  // a copy: the client may destroy its ioctx before the image
  OpenTarget target_;
  uint64_t handle_ = 0;
  std::unique_ptr<ImageIo> io_;
  BufferPool buffers_;
  EventSocket events_;
  Watchers watchers_;

  mutable std::mutex lock_;  // guards state_; held for copying a pointer only, and over a fork
  std::shared_ptr<const ImageState> state_;
  PerProcess<std::mutex> apply_lock_;  // one state is taken at a time; taken before lock_
  PerProcess<std::mutex> adopt_lock_;  // one thread makes the image this process's own; taken before all others
  std::atomic<uint32_t> generation_{fork_generation()};  // whose it is
  std::atomic<bool> is_opened_{false};  // the daemon's answer to image.open is there

  std::atomic<int> write_error_{0}, read_error_{0};
  // The daemon counts what it says of the image; states come in any order. Guarded by apply_lock_.
  uint64_t serial_ = 0;  // of the last state that was taken
  uint64_t lock_serial_ = 0;  // of what was said last of the managed lock: an older state does not know
  struct GivenUp {
    uint64_t serial = 0;  // of the last image.giveUp: an older state grants no more than `to`
    Own to = Own::none;
  } given_up_;

  // Between image.quiesce and image.resume.
  struct Quiesced {
    std::mutex lock;  // guards what follows
    std::condition_variable changed;
    bool is_quiesced = false;
    bool has_run_hooks = false;  // the client's, in this round
    bool is_ending = false;
    uint64_t round = 0;  // grows with each quiesce
    int watchers = 0;    // threads that look after a round; one of an earlier round may still be asking the daemon
  };
  PerProcess<Quiesced> quiesced_;
  std::atomic<uint64_t> discard_granularity_{0};
  std::atomic<bool> copies_writes_{true};
  std::atomic<int64_t> next_write_touch_{0}, next_read_touch_{0};  // monotonic seconds
  std::atomic<bool> has_lock_{false}, manages_lock_{false}, has_looked_{false};
  std::atomic<bool> is_dirty_{false};  // written to since it was opened

  // Calls that are under way, with their callbacks; a forked child has none of its parent's.
  struct Calls {
    std::atomic<uint64_t> count{0};  // twice the calls, plus 1 while the image closes
    std::mutex lock;                 // guards is_idle
    std::condition_variable changed;
    bool is_idle = false;
  };
  PerProcess<Calls> calls_;
};

}  // namespace cbd::rbd
