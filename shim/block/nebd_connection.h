// One process's connection to one nebd-server: requests of all its files go out pipelined, replies come back in any order.
// Knows files by name and fd, and nothing of images.
//
// A request is sent by the thread that submits it where the socket takes it; a blocking one is also received by that thread.
// All else (connecting, what the socket did not take, replies to asynchronous requests, KeepAlive) is done by one thread, made
// on first use. A connection that breaks is made anew without end and what had no reply is sent again, in its order.
#pragma once

#include <sys/uio.h>

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "block/device.h"
#include "block/nebd_wire.h"

namespace cbd::block::nebd {

class Connection;
struct File;

// How many bits of a correlation id say which call it is; the others say which use of that call.
constexpr uint32_t slot_bits = 24;

// Milliseconds.
struct Times {
  uint32_t keep_alive = 5000;  // the server closes a file after 30 s without one
  uint32_t patience = 60000;   // how long an OpenFile that is refused is tried again before requests fail with -EIO
  uint32_t silence = 60000;    // a request without a reply for so long makes us ask whether its fd is wedged (nebd_file.cc)
  uint32_t settle = 130000;    // how long the volume must have been seen healthy before a silent fd counts as wedged
  uint32_t doubt = 5000;       // a change without a reply for so long makes us ask whether we still may change the volume
  uint32_t denied = 5000;      // how long a socket that we may not connect to is tried before a file that was never open fails with -EACCES
};

// Whether this process may connect to the socket: 0, or -EACCES. One where nobody listens just now is fine.
int try_socket(const std::string& path);

// Answers 0 where this process may change the volume, -ESHUTDOWN where it may no more, anything else where that is not known now.
using LeaveAnswer = std::function<void(int)>;
// Must not block, and answers once, on any thread. It may be called after the file was released.
using AskLeave = std::function<void(LeaveAnswer)>;

struct FileOptions {
  std::string name;         // "cbd:<free text>//<path>_<owner>_:"
  bool add_random = true;   // make the name this process's own; false where the giver of the name made it unique
  uint64_t size = 0;        // bytes
  uint32_t block = 4096;
  Times times;
  // Set where another process may be given the volume in our place, which fences us by what we opened it as. A volume that we open
  // (anew) after that would be ours again, so each time it has been opened nothing is changed before this has said yes.
  AskLeave ask_leave;
};

// One frame to send and its reply: a piece of a client's request, or a call of our own. Guarded by the connection's lock,
// but what the sending and the receiving thread touch while they hold their roles.
struct Call {
  Method method = Method::read;
  bool is_probe = false;
  bool is_sent = false;
  bool in_flight = false;
  uint16_t head_bytes = 0;
  uint32_t slot = 0;
  uint8_t attempts = 0;
  uint64_t generation = 0;
  uint64_t sequence = 0;
  File* file = nullptr;
  Request* request = nullptr;  // null for calls of our own
  uint64_t position = 0;       // where this piece begins in the request's data
  uint64_t offset = 0;
  uint64_t length = 0;
  uint64_t sent = 0;  // bytes of head and data
  int64_t started = 0;
  Call* out_next = nullptr;
  Call* before = nullptr;  // among the file's calls in flight, or waiting
  Call* after = nullptr;
  std::array<uint8_t, call_head_bytes> head;

  bool changes() const { return method == Method::write || method == Method::discard; }
  bool overlaps(const Call& other) const { return offset < other.offset + other.length && other.offset < offset + length; }
};

// A list of calls in the order of their sequence numbers.
struct CallList {
  Call* first = nullptr;
  Call* last = nullptr;

  bool empty() const { return !first; }
  void add(Call* call);  // wherever its sequence number belongs; at the end is fastest
  void remove(Call* call);
};

// A file that this process has, or wants, open.
struct File {
  enum class State : uint8_t { idle, barrier, opening, asking, resizing, open, released };

  FileOptions options;
  State state = State::idle;
  int32_t fd = -1;
  int32_t barrier_fd = -1;   // to be closed before the file is opened again: see nebd_file.cc
  int32_t probe_fd = -1;
  uint32_t name_count = 0;   // makes the next name another one
  uint32_t open_failures = 0;
  int error = 0;             // not 0: what every request ends with
  bool was_open = false;
  uint64_t known_size = 0;   // what the server has been told or has told of the size
  int64_t not_before = 0;    // the next attempt to open
  int64_t failing_since = 0;
  int64_t barrier_since = 0;
  int64_t probe_begun = 0;
  int64_t probe_succeeded = 0;
  CallList waiting;          // for the file to be open, or for an earlier write to the same place
  CallList in_flight;
  std::array<uint16_t, 256> writes_by_place{};  // changing calls in flight, by MiB; to see quickly that none overlaps
  uint32_t wide_writes = 0;
  bool keep_alive_pending = false;
  enum class Leave : uint8_t { unknown, given, taken } leave = Leave::given;  // to change the volume
  uint64_t leave_question = 0;   // the one that is under way, or 0
  int64_t leave_asked = 0;       // when
  std::string unique;  // what makes options.name this process's own

  std::string name() const;
  std::string probe_name() const;
  Geometry geometry() const { return {options.size < known_size ? options.size : known_size, options.block}; }
  void count_write(const Call& call, int by);
  bool must_wait(const Call& call) const;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // This process's connection to the server at that path; makes nothing yet. Null where the path is too long.
  static std::shared_ptr<Connection> to(const std::string& socket_path);

  explicit Connection(std::string socket_path);
  ~Connection();

  File* add_file(FileOptions options);
  // The volume has grown to `size` bytes.
  void grow(File& file, uint64_t size);
  // Nothing may be changed any more, and what is under way ends in -ESHUTDOWN.
  void lose_leave(File& file);
  // Closes the file; nothing of it may be in flight. Returns when the server has been told, not when it has answered.
  void release(File* file);
  // Read, write, zero or discard; the caller has checked the range. may_block: returns after the end.
  void submit(File& file, Request& request);

 private:
  struct Finished {
    Request* first = nullptr;
    Request* last = nullptr;
    void add(Request* request);
  };
  struct Wait;
  struct Parent;
  using Lock = std::unique_lock<std::mutex>;

  // nebd_connection.cc: requests, calls, sending
  Call* take_call(Method method, File& file);
  void free_call(Call* call);
  void split(File& file, Request& request);
  bool dispatch(Call* call);
  void enqueue(Call* call);
  void flush(Lock& lock);
  int describe(const Call& call, iovec* out, int max, uint64_t& bytes) const;
  void end_call(Call* call, int result);
  void wait_for(Wait& wait, Lock& lock);
  void run_finished(Lock& lock);

  // nebd_loop.cc: the thread, connecting, receiving
  bool start_thread();
  void run();
  bool loop_once(Lock& lock);
  int timeout_ms(int64_t now) const;
  void kick();
  void connect_now(Lock& lock);
  void connect_denied(int64_t now);
  void disconnect(Lock& lock);
  void break_off();
  bool receive(Lock& lock, int flags);
  bool parse(Lock& lock);
  bool take_reply(Lock& lock, const ReplyMeta& meta, std::span<const uint8_t> body);
  bool end_thread();

  // nebd_file.cc: what becomes of files
  void step(File& file, int64_t now);
  void pump(File& file);
  void control(File& file, Method method, bool is_probe = false);
  void take_control_reply(Call* call, const ReplyBody& body);
  void refused(Call* call);
  void opened(File& file);
  void open_refused(File& file);
  void take_back(File& file);
  void fail_waiting(File& file, int error);
  void recall(File& file);
  void tick(int64_t now);
  void look_for_silence(File& file, int64_t now);
  void take_probe_reply(File& file, Method method, const ReplyBody& body);
  void abandon_fd(File& file);
  void drop_file(File* file);

  // nebd_leave.cc: whether a file may be changed
  void ask_leave(File& file);
  void take_leave_answer(uint64_t question, int answer);
  void look_for_doubt(File& file, int64_t now);
  void take_leave(File& file);

  const std::string socket_path_;

  // Guards everything below and all files and calls, but what belongs to the holder of a role. It is not held during system calls on
  // the socket and not while requests are told their end.
  std::mutex lock_;
  std::condition_variable changed_;  // a role was given back, a waited-for request ended, a call was sent
  std::deque<Call> calls_;
  std::vector<Call*> free_calls_;
  std::vector<std::unique_ptr<File>> files_;
  Call* out_first_ = nullptr;  // what is to be sent, in order
  Call* out_last_ = nullptr;
  Finished finished_;          // requests to be told their end
  std::vector<std::function<void()>> errands_;  // to be run with them
  uint64_t next_question_ = 1;
  uint64_t next_sequence_ = 1;
  uint64_t next_generation_ = 1;
  uint32_t in_flight_ = 0;
  int fd_ = -1;
  int kick_fd_ = -1;
  bool has_thread_ = false;
  bool is_over_ = false;    // the thread has ended, or is about to; the registry makes another connection
  bool sending_ = false;    // a thread is in sendmsg: the calls at the head of the queue are its own
  bool receiving_ = false;  // a thread is reading: the receive buffer and `sink_` are its own
  bool is_broken_ = false;  // the socket failed while sending
  bool want_write_ = false;  // the socket is full
  bool is_passive_ = false;  // the thread does not look for replies: blocking submitters do
  bool is_kicked_ = false;
  bool is_delivering_ = false;  // the thread is telling requests their end: what it submits is sent together afterwards
  uint32_t blocking_ = 0;      // blocking submitters at the moment
  uint32_t nested_ = 0;        // those of them that are on our thread
  File nobody_;                // whose calls are no longer anybody's
  uint32_t waiters_ = 0;       // threads waiting for `changed_`
  int64_t last_blocking_ = 0;
  int64_t connect_at_ = 0;
  uint32_t connect_failures_ = 0;
  int64_t denied_since_ = 0;   // from when on every attempt to connect has ended in EACCES; 0: the last one has not
  int64_t next_keep_alive_ = 0;
  int64_t next_tick_ = 0;
  int64_t idle_since_ = 0;
  pthread_t thread_{};

  // The receiving role's.
  static constexpr size_t buffer_bytes = 64 * 1024;
  std::unique_ptr<uint8_t[]> buffer_;
  size_t held_ = 0;      // bytes in the buffer
  Call* sink_ = nullptr;  // whose data is coming in
  uint64_t sink_got_ = 0;
  uint64_t drain_ = 0;   // bytes of data that nobody wants
};

// Milliseconds of a clock that only goes forward.
int64_t now_ms();

}  // namespace cbd::block::nebd
