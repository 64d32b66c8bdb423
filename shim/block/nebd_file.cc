// What becomes of a file: opened on first use, kept alive, opened again after the connection or the server was lost,
// closed. And when requests wait: for the file, or for an earlier write to the same place.
//
// After a lost connection, what had no reply is sent again. A write among it may still be under way in a server that
// lives on, and must not land after a newer one; so the fd is closed first (CloseFile waits for all I/O of its fd), the file
// opened again under its name, and only then anything sent.
//
// A request that is never answered: NEBD answers no failed I/O by default, and its fd is wedged from then on. But silence may
// also mean that replicas are down, and then the request will still be carried out. So the volume is opened under another name
// and read. Where that works, and the silence lasts for longer than CurveBS ever retries (`settle`), the fd is wedged: the new
// one takes its place and everything without a reply is sent again. The old fd cannot be closed (that would hang as well); the
// server closes it for want of KeepAlives. Where the volume cannot be opened either, it is gone: -EIO.
#include <errno.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "block/nebd_connection.h"

namespace cbd::block::nebd {
namespace {

constexpr int max_attempts = 4;

size_t place_of(uint64_t offset) { return (offset >> 20) & 255; }
bool is_wide(const Call& call) { return call.length > (1u << 20); }

// "cbd:<free text>//<path>" becomes "cbd:<free text><unique>.<count>//<path>".
std::string make_name(const std::string& name, const std::string& unique, uint32_t count) {
  const size_t slash = name.find('/');
  if (slash == std::string::npos) return name;
  return name.substr(0, slash) + unique + "." + std::to_string(count) + name.substr(slash);
}

std::string make_unique(bool with_random) {
  char text[64];
  if (!with_random) {
    std::snprintf(text, sizeof text, "-%d", static_cast<int>(getpid()));
    return text;
  }
  uint64_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) random = static_cast<uint64_t>(now_ms());
  std::snprintf(text, sizeof text, "-%d-%016llx", static_cast<int>(getpid()), static_cast<unsigned long long>(random));
  return text;
}

}  // namespace

std::string File::name() const { return make_name(options.name, unique, name_count); }
std::string File::probe_name() const { return make_name(options.name, unique, name_count + 1); }

void File::count_write(const Call& call, int by) {
  if (is_wide(call)) {
    wide_writes += static_cast<uint32_t>(by);
    return;
  }
  const size_t first = place_of(call.offset), last = place_of(call.offset + call.length - 1);
  writes_by_place[first] = static_cast<uint16_t>(writes_by_place[first] + by);
  if (last != first) writes_by_place[last] = static_cast<uint16_t>(writes_by_place[last] + by);
}

// Whether an earlier change to the same place is not over. Reads wait for nothing: in flight together, either order is right.
bool File::must_wait(const Call& call) const {
  if (!call.changes()) return false;
  if (leave != Leave::given) return true;
  const bool may_overlap = wide_writes > 0 || is_wide(call) || writes_by_place[place_of(call.offset)] > 0 ||
                           writes_by_place[place_of(call.offset + call.length - 1)] > 0;
  if (may_overlap) {
    for (const Call* other = in_flight.first; other; other = other->after) {
      if (other->changes() && other->overlaps(call)) return true;
    }
  }
  for (const Call* other = waiting.first; other && other->sequence < call.sequence; other = other->after) {
    if (other->changes() && other->overlaps(call)) return true;
  }
  return false;
}

File* Connection::add_file(FileOptions options) {
  auto file = std::make_unique<File>();
  file->options = std::move(options);
  file->unique = make_unique(file->options.add_random);
  Lock lock(lock_);
  files_.push_back(std::move(file));
  return files_.back().get();
}

void Connection::grow(File& file, uint64_t size) {
  Lock lock(lock_);
  if (size <= file.options.size) return;
  file.options.size = size;
  // ResizeFile makes the new part usable on this fd at once; it grows nothing that has grown already.
  if (file.state != File::State::open || size <= file.known_size) return;
  file.state = File::State::resizing;
  control(file, Method::resize_file);
  flush(lock);
}

void Connection::release(File* file) {
  Lock lock(lock_);
  const bool is_open = file->state == File::State::asking || file->state == File::State::resizing || file->state == File::State::open;
  if (!is_open && file->state != File::State::opening) {
    drop_file(file);
    return;
  }
  file->state = File::State::released;
  if (is_open) control(*file, Method::close_file);
  flush(lock);
  // A process that ends right away must have said it.
  const int64_t give_up = now_ms() + 2000;
  while (out_first_ && fd_ >= 0 && !is_broken_ && now_ms() < give_up) {
    if (pthread_equal(thread_, pthread_self())) {
      loop_once(lock);
    } else {
      ++waiters_;
      changed_.wait_for(lock, std::chrono::milliseconds(100));
      --waiters_;
    }
  }
}

// The file is nobody's any more; replies to its calls will be passed over.
void Connection::drop_file(File* file) {
  for (Call& call : calls_) {
    if (call.file == file) call.file = &nobody_;
  }
  const auto at = std::find_if(files_.begin(), files_.end(), [file](const auto& each) { return each.get() == file; });
  if (at != files_.end()) files_.erase(at);
  idle_since_ = now_ms();
}

// Begins to open a file that ought to be open.
void Connection::step(File& file, int64_t now) {
  if (file.error) fail_waiting(file, file.error);
  if (file.state != File::State::idle || fd_ < 0 || is_broken_ || file.error) return;
  if ((!file.was_open && file.waiting.empty()) || now < file.not_before) return;
  file.state = file.barrier_fd >= 0 ? File::State::barrier : File::State::opening;
  file.barrier_since = now;
  control(file, file.barrier_fd >= 0 ? Method::close_file : Method::open_file);
}

// Sends a call of our own.
void Connection::control(File& file, Method method, bool is_probe) {
  Call* call = take_call(method, file);
  call->is_probe = is_probe;
  call->generation = next_generation_++;
  const uint64_t id = call->generation << slot_bits | call->slot;
  const int32_t fd = is_probe ? file.probe_fd : file.state == File::State::barrier ? file.barrier_fd : file.fd;
  size_t bytes = 0;
  switch (method) {
    case Method::open_file: bytes = build_open(is_probe ? file.probe_name() : file.name(), id, call->head); break;
    case Method::keep_alive: bytes = build_keep_alive(fd, file.name(), getpid(), id, call->head); break;
    case Method::resize_file:
      call->length = file.options.size;
      bytes = build_resize(fd, file.options.size, id, call->head);
      break;
    case Method::read: bytes = build_io(method, fd, id, 0, file.options.block, file.geometry(), call->head); break;
    default: bytes = build_fd_call(method, fd, id, call->head); break;
  }
  if (bytes == 0) {
    // A name that no server takes: nothing will ever work.
    free_call(call);
    if (is_probe) return;
    file.error = -EINVAL;
    return fail_waiting(file, file.error);
  }
  call->head_bytes = static_cast<uint16_t>(bytes);
  enqueue(call);
}

void Connection::take_control_reply(Call* call, const ReplyBody& body) {
  File& file = *call->file;
  const Method method = call->method;
  const bool is_probe = call->is_probe;
  const uint64_t length = call->length;
  call->in_flight = false;
  --in_flight_;
  free_call(call);
  if (&file == &nobody_) return;
  if (is_probe) return take_probe_reply(file, method, body);
  if (method == Method::keep_alive) file.keep_alive_pending = false;
  if (file.state == File::State::released) {
    if (method == Method::open_file && body.ret_code == 0) {
      file.fd = body.fd;
      control(file, Method::close_file);
    } else if (method == Method::open_file || method == Method::close_file) {
      drop_file(&file);
    }
    return;
  }
  if (method == Method::close_file && file.state == File::State::barrier) {
    file.barrier_fd = -1;
    file.state = File::State::idle;
    step(file, now_ms());
  } else if (method == Method::open_file && file.state == File::State::opening) {
    if (body.ret_code != 0) return open_refused(file);
    file.fd = body.fd;
    file.state = File::State::asking;
    control(file, Method::get_info);
  } else if (method == Method::get_info && file.state == File::State::asking) {
    if (body.ret_code != 0) return open_refused(file);
    if (body.info.block < 512 || file.options.block % body.info.block != 0) {
      // Requests in our blocks would not be whole blocks of the volume.
      file.error = -EIO;
      return fail_waiting(file, file.error);
    }
    file.known_size = body.info.size;
    if (file.options.ask_leave && file.leave != File::Leave::taken) {
      file.leave = File::Leave::unknown;
      ask_leave(file);
    }
    opened(file);
  } else if (method == Method::resize_file && file.state == File::State::resizing) {
    if (body.ret_code != 0) return open_refused(file);
    file.known_size = length;
    opened(file);
  } else if (method == Method::keep_alive && body.ret_code != 0 && file.state == File::State::open) {
    // The server has forgotten the fd.
    file.state = File::State::idle;
    step(file, now_ms());
  }
}

// The fd works; it is told of growth that it has not seen before anything is sent.
void Connection::opened(File& file) {
  if (file.options.size > file.known_size) {
    file.state = File::State::resizing;
    return control(file, Method::resize_file);
  }
  file.state = File::State::open;
  file.was_open = true;
  file.failing_since = 0;
  file.open_failures = 0;
  pump(file);
}

// NEBD says nothing but -1: the volume may be gone, or no MDS may answer. Tried for a while, then given up.
void Connection::open_refused(File& file) {
  const int64_t now = now_ms();
  if (file.failing_since == 0) file.failing_since = now;
  file.state = File::State::idle;
  file.not_before = now + (int64_t{50} << std::min(file.open_failures++, 5u));
  if (now - file.failing_since >= file.options.times.patience) {
    file.was_open = false;
    fail_waiting(file, -EIO);
  }
  kick();
}

void Connection::fail_waiting(File& file, int error) {
  while (Call* call = file.waiting.first) {
    file.waiting.remove(call);
    end_call(call, error);
  }
}

// Sends what waits and need not wait any longer.
void Connection::pump(File& file) {
  for (Call* call = file.waiting.first; call && file.state == File::State::open;) {
    Call* after = call->after;
    if (!file.must_wait(*call)) {
      file.waiting.remove(call);
      dispatch(call);
    }
    call = after;
  }
}

// An I/O was answered, but with a failure: the fd is not known, the volume is gone, or the writer is fenced.
void Connection::refused(Call* call) {
  File& file = *call->file;
  if (file.leave == File::Leave::taken && call->changes()) return end_call(call, -ESHUTDOWN);
  if (++call->attempts >= max_attempts) {
    end_call(call, -EIO);
    return pump(file);
  }
  call->in_flight = false;
  --in_flight_;
  file.in_flight.remove(call);
  if (call->changes()) file.count_write(*call, -1);
  file.waiting.add(call);
  if (file.state != File::State::open) return;
  file.state = File::State::idle;
  file.not_before = now_ms() + (int64_t{25} << call->attempts);
  kick();
}

// What is in flight waits again, in its order.
void Connection::take_back(File& file) {
  while (Call* call = file.in_flight.first) {
    call->in_flight = false;
    --in_flight_;
    file.in_flight.remove(call);
    if (call->changes()) file.count_write(*call, -1);
    file.waiting.add(call);
  }
}

// The connection is gone.
void Connection::recall(File& file) {
  if (file.state == File::State::released) return drop_file(&file);
  bool has_changes = false;
  for (const Call* call = file.in_flight.first; call; call = call->after) has_changes |= call->changes();
  take_back(file);
  if (has_changes) file.barrier_fd = file.fd;
  file.state = File::State::idle;
  file.not_before = 0;
  file.probe_begun = file.probe_succeeded = 0;
  file.probe_fd = -1;
  file.keep_alive_pending = false;
  // What is answered now was asked of what was opened before.
  file.leave_question = 0;
  if (file.leave == File::Leave::taken) take_leave(file);
  if (file.options.ask_leave && file.leave == File::Leave::given) file.leave = File::Leave::unknown;
}

// Now and then.
void Connection::tick(int64_t now) {
  const bool keep_alive = now >= next_keep_alive_;
  uint32_t every = 5000;
  for (size_t i = 0; i < files_.size(); ++i) {
    File& file = *files_[i];
    every = std::min(every, file.options.times.keep_alive);
    const Times& times = file.options.times;
    if (file.state == File::State::open) look_for_doubt(file, now);
    if (file.state == File::State::open) look_for_silence(file, now);
    // Closing hangs on a wedged fd; CurveBS carries nothing out any more after that time.
    if (file.state == File::State::barrier && now - file.barrier_since >= int64_t{times.silence} + times.settle) abandon_fd(file);
    if (keep_alive && file.state == File::State::open && !file.keep_alive_pending && fd_ >= 0) {
      file.keep_alive_pending = true;
      control(file, Method::keep_alive);
    }
  }
  if (keep_alive) next_keep_alive_ = now + every;
}

void Connection::look_for_silence(File& file, int64_t now) {
  int64_t oldest = now;
  for (const Call* call = file.in_flight.first; call; call = call->after) oldest = std::min(oldest, call->started);
  const Times& times = file.options.times;
  if (now - oldest < times.silence) {
    if (file.probe_fd >= 0) control(file, Method::close_file, true);
    file.probe_begun = file.probe_succeeded = 0;
    file.probe_fd = -1;
  } else if (file.probe_begun == 0) {
    file.probe_begun = now;
    if (file.probe_fd < 0) control(file, Method::open_file, true);
  } else if (file.probe_succeeded != 0 && now - file.probe_succeeded >= times.settle) {
    abandon_fd(file);
  }
}

// Gives up an fd that cannot be closed, without waiting for it. A new connection is the simplest way to have nothing of the
// old fd still queued; the file is opened there under its next name.
void Connection::abandon_fd(File& file) {
  ++file.name_count;
  file.state = File::State::idle;
  file.fd = file.barrier_fd = -1;
  break_off();
}

void Connection::take_probe_reply(File& file, Method method, const ReplyBody& body) {
  const int64_t now = now_ms();
  if (file.probe_begun == 0 || method == Method::close_file) return;
  if (method == Method::open_file && body.ret_code == 0) {
    file.probe_fd = body.fd;
    file.failing_since = 0;
    return control(file, Method::read, true);
  }
  if (method == Method::read && body.ret_code == 0) {
    file.probe_succeeded = now;
    return;
  }
  // Neither the old fd nor a new one works.
  if (file.failing_since == 0) file.failing_since = now;
  file.probe_begun = 0;
  if (now - file.failing_since < file.options.times.patience) return;
  file.was_open = false;
  abandon_fd(file);
}

}  // namespace cbd::block::nebd
