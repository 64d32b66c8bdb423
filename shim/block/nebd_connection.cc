// Requests become calls, calls are sent, ends are told.
#include "block/nebd_connection.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <new>

#include "block/iov.h"

namespace cbd::block::nebd {
namespace {

constexpr uint64_t piece_bytes = 1 << 20;  // larger requests go in pieces; NEBD is slow with large ones
constexpr size_t zeroes_bytes = 64 * 1024;
alignas(4096) const std::byte zeroes[zeroes_bytes] = {};
constexpr int max_send_iov = 128;
constexpr uint64_t send_batch_bytes = 1 << 20;

}  // namespace

int64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// A thread that waits for the end of its request.
struct Connection::Wait {
  bool is_over = false;
};

// A client's request while it is with us; lies in Request::scratch.
struct Connection::Parent {
  uint32_t pieces;
  int result;
  Wait* waiter;

  static Parent& of(Request& request) { return *std::launder(reinterpret_cast<Parent*>(request.scratch)); }
};

void CallList::add(Call* call) {
  Call* at = last;
  while (at && at->sequence > call->sequence) at = at->before;
  call->before = at;
  call->after = at ? at->after : first;
  (call->after ? call->after->before : last) = call;
  (at ? at->after : first) = call;
}

void CallList::remove(Call* call) {
  (call->before ? call->before->after : first) = call->after;
  (call->after ? call->after->before : last) = call->before;
  call->before = call->after = nullptr;
}

void Connection::Finished::add(Request* request) {
  request->next = nullptr;
  (last ? last->next : first) = request;
  last = request;
}

Connection::Connection(std::string socket_path) : socket_path_(std::move(socket_path)) {}

Connection::~Connection() {
  if (fd_ >= 0) close(fd_);
  if (kick_fd_ >= 0) close(kick_fd_);
}

Call* Connection::take_call(Method method, File& file) {
  Call* call;
  if (free_calls_.empty()) {
    call = &calls_.emplace_back();
    call->slot = static_cast<uint32_t>(calls_.size() - 1);
  } else {
    call = free_calls_.back();
    free_calls_.pop_back();
  }
  call->method = method;
  call->is_probe = call->is_sent = call->in_flight = false;
  call->attempts = 0;
  call->sequence = next_sequence_++;
  call->file = &file;
  call->request = nullptr;
  call->position = call->offset = call->length = call->sent = 0;
  call->out_next = call->before = call->after = nullptr;
  return call;
}

void Connection::free_call(Call* call) {
  call->file = nullptr;
  call->generation = 0;
  free_calls_.push_back(call);
}

void Connection::submit(File& file, Request& request) {
  static_assert(sizeof(Parent) <= sizeof(Request::scratch));
  Wait wait;
  // What may be answered without us is not ours to look at once it is under way.
  const bool may_block = request.may_block;
  Lock lock(lock_);
  const uint64_t pieces = request.op == Op::discard ? 1 : (request.length + piece_bytes - 1) / piece_bytes;
  new (request.scratch) Parent{static_cast<uint32_t>(pieces), 0, may_block ? &wait : nullptr};
  const bool is_taken = file.leave == File::Leave::taken && request.op != Op::read;
  const int error = file.error ? file.error : is_taken ? -ESHUTDOWN : start_thread() ? 0 : -ENOMEM;
  if (error) {
    lock.unlock();
    return request.done(&request, error);
  }
  split(file, request);
  if (file.state != File::State::open) {
    // The thread opens it; what comes while it does so needs no kick of its own.
    step(file, now_ms());
    if (fd_ < 0 || file.state == File::State::idle) kick();
  } else if (is_passive_ && blocking_ == 0 && !may_block) {
    kick();
  }
  if (!(is_delivering_ && pthread_equal(thread_, pthread_self()))) flush(lock);
  if (may_block) {
    wait_for(wait, lock);
    const int result = Parent::of(request).result;
    run_finished(lock);
    lock.unlock();
    request.done(&request, result);
  } else if (!is_delivering_) {
    run_finished(lock);
  }
}

void Connection::split(File& file, Request& request) {
  const Method method = request.op == Op::read ? Method::read : request.op == Op::discard ? Method::discard : Method::write;
  const uint64_t step = method == Method::discard ? request.length : piece_bytes;
  for (uint64_t at = 0; at < request.length; at += step) {
    Call* call = take_call(method, file);
    call->request = &request;
    call->position = at;
    call->offset = request.offset + at;
    call->length = std::min(step, request.length - at);
    if (file.state != File::State::open || file.must_wait(*call)) {
      file.waiting.add(call);
    } else {
      dispatch(call);
    }
  }
}

// Sends a call of an open file (false: it could not be built, and has ended).
bool Connection::dispatch(Call* call) {
  File& file = *call->file;
  call->generation = next_generation_++;
  const size_t bytes = build_io(call->method, file.fd, call->generation << slot_bits | call->slot, call->offset, call->length,
                                file.geometry(), call->head);
  if (bytes == 0) {
    end_call(call, -EINVAL);
    return false;
  }
  call->head_bytes = static_cast<uint16_t>(bytes);
  file.in_flight.add(call);
  if (call->changes()) file.count_write(*call, 1);
  enqueue(call);
  return true;
}

// The head has been built; the call goes to the end of what is to be sent.
void Connection::enqueue(Call* call) {
  call->in_flight = true;
  call->is_sent = false;
  call->sent = 0;
  call->started = now_ms();
  call->out_next = nullptr;
  (out_last_ ? out_last_->out_next : out_first_) = call;
  out_last_ = call;
  ++in_flight_;
}

// What is left to send of a call; returns pieces, and in `bytes` how many bytes they are.
int Connection::describe(const Call& call, iovec* out, int max, uint64_t& bytes) const {
  int count = 0;
  bytes = 0;
  uint64_t data_sent = 0;
  if (call.sent < call.head_bytes) {
    out[count++] = {const_cast<uint8_t*>(call.head.data()) + call.sent, call.head_bytes - call.sent};
    bytes = call.head_bytes - call.sent;
  } else {
    data_sent = call.sent - call.head_bytes;
  }
  if (call.method != Method::write || count == max) return count;
  uint64_t left = call.length - data_sent;
  if (call.request->op == Op::zero) {
    for (; left > 0 && count < max; ++count) {
      const uint64_t n = std::min<uint64_t>(left, zeroes_bytes);
      out[count] = {const_cast<std::byte*>(zeroes), n};
      bytes += n;
      left -= n;
    }
    return count;
  }
  const int pieces = slice_iov(call.request->iov, call.request->iovcnt, call.position + data_sent, left, out + count, max - count);
  for (int i = 0; i < pieces; ++i) bytes += out[count + i].iov_len;
  return count + pieces;
}

// Sends as much as the socket takes. One thread at a time does it, for whatever others have added meanwhile.
void Connection::flush(Lock& lock) {
  if (sending_ || want_write_ || fd_ < 0 || is_broken_) return;
  sending_ = true;
  while (out_first_ && !is_broken_) {
    iovec iov[max_send_iov];
    int count = 0;
    uint64_t total = 0;
    for (Call* call = out_first_; call && count < max_send_iov && total < send_batch_bytes; call = call->out_next) {
      uint64_t bytes;
      count += describe(*call, iov + count, max_send_iov - count, bytes);
      total += bytes;
      if (call->sent + bytes < call->head_bytes + (call->method == Method::write ? call->length : 0)) break;
    }
    const int fd = fd_;
    lock.unlock();
    msghdr message{};
    message.msg_iov = iov;
    message.msg_iovlen = static_cast<size_t>(count);
    const ssize_t written = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    const int error = written < 0 ? errno : 0;
    lock.lock();
    if (error == EINTR) continue;
    if (error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == ENOMEM) {
      want_write_ = true;
      kick();
      break;
    }
    if (error) {
      break_off();
      break;
    }
    for (auto left = static_cast<uint64_t>(written); left > 0;) {
      Call* call = out_first_;
      const uint64_t whole = call->head_bytes + (call->method == Method::write ? call->length : 0);
      const uint64_t part = std::min(left, whole - call->sent);
      call->sent += part;
      left -= part;
      if (call->sent < whole) break;
      call->is_sent = true;
      out_first_ = call->out_next;
      if (!out_first_) out_last_ = nullptr;
    }
    if (waiters_) changed_.notify_all();
  }
  sending_ = false;
  if (waiters_) changed_.notify_all();
}

// A client's piece is over: takes it off its file, and ends the request with its last piece.
void Connection::end_call(Call* call, int result) {
  Request& request = *call->request;
  if (call->in_flight) {
    call->in_flight = false;
    --in_flight_;
    call->file->in_flight.remove(call);
    if (call->changes()) call->file->count_write(*call, -1);
  }
  free_call(call);
  Parent& parent = Parent::of(request);
  if (result != 0 && parent.result == 0) parent.result = result;
  if (--parent.pieces > 0) return;
  if (parent.waiter) {
    parent.waiter->is_over = true;
    if (waiters_) changed_.notify_all();
  } else {
    finished_.add(&request);
  }
}

// Tells ended requests so, without the lock. What is submitted meanwhile by this thread, if it is ours, is sent in one go.
void Connection::run_finished(Lock& lock) {
  if (!errands_.empty()) {
    std::vector<std::function<void()>> errands;
    errands.swap(errands_);
    lock.unlock();
    for (const auto& errand : errands) errand();
    lock.lock();
  }
  if (!finished_.first) return;
  const bool is_ours = has_thread_ && pthread_equal(thread_, pthread_self());
  const bool was_delivering = is_delivering_;
  if (is_ours) is_delivering_ = true;
  while (Request* request = finished_.first) {
    finished_ = {};
    lock.unlock();
    while (request) {
      Request* next = request->next;
      request->done(request, Parent::of(*request).result);
      request = next;
    }
    lock.lock();
  }
  if (is_ours) is_delivering_ = was_delivering;
  flush(lock);
}

// Receives on this thread until the request is over; on our own thread the whole loop goes on meanwhile.
void Connection::wait_for(Wait& wait, Lock& lock) {
  const bool is_ours = pthread_equal(thread_, pthread_self());
  const bool was_delivering = is_delivering_;
  if (is_ours) {
    is_delivering_ = false;
    flush(lock);
  }
  ++blocking_;
  if (is_ours) ++nested_;
  while (!wait.is_over) {
    if (is_ours) {
      loop_once(lock);
    } else if (!receiving_ && fd_ >= 0 && !is_broken_) {
      receive(lock, 0);
      run_finished(lock);
      flush(lock);
    } else {
      ++waiters_;
      changed_.wait(lock);
      --waiters_;
    }
  }
  if (is_ours) is_delivering_ = was_delivering;
  --blocking_;
  if (is_ours) --nested_;
  last_blocking_ = now_ms();
  // Somebody else has to receive from now on.
  if (in_flight_ == 0) return;
  if (blocking_ > nested_) {
    if (waiters_) changed_.notify_all();
  } else if (is_passive_) {
    kick();
  }
}

}  // namespace cbd::block::nebd
