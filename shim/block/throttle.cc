// Token buckets as Ceph 16's TokenBucketThrottle has them: tokens come in ticks, `rate` a second; a bucket
// holds burst times burst_seconds, of which at most `burst` may be taken at once.
#include "block/throttle.h"

#include <errno.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>

#include "block/io_ring_workers.h"

namespace cbd::block {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using Kind = Throttle::Kind;

constexpr size_t timer_stack = 256 * 1024;

constexpr unsigned bit(Kind kind) {
  return 1u << static_cast<unsigned>(kind);
}
constexpr unsigned bytes_kinds = bit(Kind::bps) | bit(Kind::read_bps) | bit(Kind::write_bps);
constexpr unsigned both_kinds = bit(Kind::iops) | bit(Kind::bps);
constexpr unsigned read_kinds = both_kinds | bit(Kind::read_iops) | bit(Kind::read_bps);
constexpr unsigned write_kinds = both_kinds | bit(Kind::write_iops) | bit(Kind::write_bps);

// Which limits count for a request: those of its direction. A flush counts for none.
unsigned kinds_of(const Request& request, unsigned excluded) {
  switch (request.op) {
    case Op::flush:
      return 0;
    case Op::read:
      return excluded & Throttle::exclude_read ? 0 : read_kinds;
    case Op::discard:
    case Op::zero:
      return excluded & Throttle::exclude_discard ? 0 : write_kinds;
    default:
      return excluded & Throttle::exclude_write ? 0 : write_kinds;
  }
}

// A request that waits; lies in Request::scratch. It stands in the queue of each bucket that owes it tokens.
struct Ticket {
  static constexpr int most = 4;  // iops, bps, and those of one direction
  struct Need {
    Ticket* next;      // in the bucket's queue
    uint64_t missing;  // tokens
    uint8_t kind;
  };
  Request* request;
  Ticket* next_ready;
  bool has_waiter;  // its own thread waits, in submit()
  bool is_over;
  uint8_t needs_open;
  uint8_t needs_used;
  int result;
  Need needs[most];

  Need& need(unsigned kind) {
    int i = 0;
    while (needs[i].kind != kind) ++i;
    return needs[i];
  }
};
static_assert(sizeof(Ticket) <= sizeof(Request::scratch));

struct Bucket {
  uint64_t rate = 0;  // tokens a second; 0: no limit
  uint64_t most = 0;  // that may be taken at once
  uint64_t capacity = 0;
  uint64_t remain = 0;     // in the bucket
  uint64_t available = 0;  // of these, for now
  uint64_t tick_ms = 1000;
  uint64_t ticks = 0;  // since `start`
  Clock::time_point start;
  Ticket* head = nullptr;
  Ticket* tail = nullptr;

  void set(uint64_t new_rate, uint64_t burst, uint64_t seconds, uint64_t tick_min) {
    const uint64_t new_most = burst ? burst : new_rate;
    const uint64_t new_capacity = new_most * std::max<uint64_t>(seconds, 1);
    const uint64_t tick = new_rate ? std::max<uint64_t>({1000 / new_rate, tick_min, 1}) : 1000;
    if (new_capacity != capacity) remain = new_capacity;
    if (available == 0 || new_most != most) available = new_most;
    most = new_most;
    capacity = new_capacity;
    if (new_rate != rate || tick != tick_ms) {
      start = Clock::now();
      ticks = 0;
    }
    rate = new_rate;
    tick_ms = tick;
  }

  uint64_t tokens_at(uint64_t tick) const {
    const auto all = static_cast<unsigned __int128>(rate) * tick * tick_ms / 1000;
    return static_cast<uint64_t>(all);
  }

  // Puts in what the ticks since the last time brought.
  void refill(Clock::time_point now) {
    if (!rate) return;
    const auto passed = std::chrono::duration_cast<milliseconds>(now - start).count();
    const uint64_t tick = static_cast<uint64_t>(passed) / tick_ms;
    if (tick == ticks) return;
    const uint64_t fresh = tokens_at(tick) - tokens_at(ticks);
    ticks = tick;
    remain = fresh > capacity - remain ? capacity : remain + fresh;
    // In a burst tokens become available at its speed, as long as the bucket has some.
    const double usable =
        static_cast<double>(fresh) * std::max(1.0, static_cast<double>(most) / static_cast<double>(rate));
    const uint64_t limit = std::min(remain, most);
    available = usable >= static_cast<double>(limit) - static_cast<double>(available)
                    ? limit
                    : available + static_cast<uint64_t>(usable);
  }

  // Takes up to `wanted`.
  uint64_t take(uint64_t wanted) {
    if (!rate) return wanted;
    const uint64_t got = std::min({wanted, available, remain});
    available -= got;
    remain -= got;
    return got;
  }

  Clock::time_point next_tick() const { return start + milliseconds((ticks + 1) * tick_ms); }
};

}  // namespace

struct Throttle::State {
  std::mutex lock;  // guards all below; never held while a request is passed on
  std::condition_variable changed;
  Bucket buckets[kinds];
  uint64_t version = 0;
  unsigned waiting = 0;  // tickets
  bool has_thread = false;
  bool thread_runs = false;
  bool stop = false;
  pthread_t thread{};
  Throttle* owner = nullptr;

  ~State();
  void reload(Throttle& throttle);
  bool ensure_thread();
  Ticket* grant(Clock::time_point now);
  void run();
};

Throttle::Throttle(Device& below) : below_(below) {}

Throttle::~Throttle() = default;

Throttle::State::~State() {
  {
    std::lock_guard<std::mutex> guard(lock);
    stop = true;
    changed.notify_all();
  }
  if (has_thread) pthread_join(thread, nullptr);
}

void Throttle::State::reload(Throttle& throttle) {
  const uint64_t now = throttle.version_.load(std::memory_order_acquire);
  if (version == now) return;
  version = now;
  for (int k = 0; k < kinds; ++k) {
    buckets[k].set(throttle.rate_[k], throttle.burst_[k], throttle.burst_seconds_[k], throttle.tick_min_);
  }
}

void Throttle::tell_change() {
  version_.fetch_add(1, std::memory_order_release);
  if (State* s = state_.existing()) {
    std::lock_guard<std::mutex> guard(s->lock);
    s->reload(*this);
    s->changed.notify_all();
  }
}

int Throttle::set_limit(Kind kind, const Limit& limit) {
  if (limit.burst && limit.burst < limit.rate) return -EINVAL;
  const auto k = static_cast<unsigned>(kind);
  rate_[k] = limit.rate;
  burst_[k] = limit.burst;
  burst_seconds_[k] = limit.burst_seconds;
  if (limit.rate) {
    limited_.fetch_or(bit(kind));
  } else {
    limited_.fetch_and(~bit(kind));
  }
  tell_change();
  return 0;
}

int Throttle::set_schedule_tick_min(uint64_t ms) {
  if (ms < 1) return -EINVAL;
  tick_min_ = ms;
  tell_change();
  return 0;
}

void Throttle::set_excluded(unsigned mask) {
  excluded_ = mask;
}

void Throttle::submit(Request& request) {
  const unsigned limited = limited_.load(std::memory_order_acquire);
  const unsigned applying = limited ? kinds_of(request, excluded_) & limited : 0;
  if (!applying) return below_.submit(request);

  State& s = state_.get();
  std::unique_lock<std::mutex> guard(s.lock);
  s.owner = this;
  s.reload(*this);
  if (!s.ensure_thread()) {
    // Without a timer nobody would ever be let go.
    guard.unlock();
    return below_.submit(request);
  }
  const auto now = Clock::now();
  auto* ticket = new (request.scratch) Ticket{};
  ticket->request = &request;
  for (unsigned k = 0; k < kinds; ++k) {
    if (!(applying & 1u << k)) continue;
    Bucket& bucket = s.buckets[k];
    bucket.refill(now);
    uint64_t missing = bytes_kinds & 1u << k ? request.length : 1;
    if (!bucket.head) missing -= bucket.take(missing);
    if (!missing) continue;
    // Whoever waits already goes first; what was taken is kept.
    ticket->needs[ticket->needs_used++] = {nullptr, missing, static_cast<uint8_t>(k)};
    if (bucket.head) {
      bucket.tail->need(k).next = ticket;
    } else {
      bucket.head = ticket;
    }
    bucket.tail = ticket;
  }
  if (!ticket->needs_used) {
    guard.unlock();
    return below_.submit(request);
  }
  ticket->needs_open = ticket->needs_used;
  ticket->has_waiter = request.may_block;
  ++s.waiting;
  s.changed.notify_all();
  if (!ticket->has_waiter) return;
  s.changed.wait(guard, [ticket] { return ticket->is_over; });
  const int result = ticket->result;
  guard.unlock();
  if (result) return request.done(&request, result);
  below_.submit(request);
}

bool Throttle::State::ensure_thread() {
  if (thread_runs) return true;
  if (has_thread) pthread_join(thread, nullptr);  // it has left its loop
  auto body = [](void* self) -> void* {
    static_cast<State*>(self)->run();
    return nullptr;
  };
  has_thread = thread_runs = start_io_thread(thread, timer_stack, body, this) == 0;
  return thread_runs;
}

// Gives out what there is, first come first served. Returns those to be passed on, in order, chained by
// next_ready.
Ticket* Throttle::State::grant(Clock::time_point now) {
  Ticket* ready = nullptr;
  Ticket** tail = &ready;
  for (unsigned k = 0; k < kinds; ++k) {
    Bucket& bucket = buckets[k];
    bucket.refill(now);
    while (Ticket* ticket = bucket.head) {
      Ticket::Need& need = ticket->need(k);
      need.missing -= bucket.take(need.missing);
      if (need.missing) break;
      bucket.head = need.next;
      if (!bucket.head) bucket.tail = nullptr;
      if (--ticket->needs_open) continue;
      --waiting;
      ticket->is_over = true;
      if (ticket->has_waiter) {
        changed.notify_all();
      } else {
        *tail = ticket;
        tail = &ticket->next_ready;
      }
    }
  }
  return ready;
}

// The timer's thread: lives while there are limits.
void Throttle::State::run() {
  std::unique_lock<std::mutex> guard(lock);
  while (!stop && (waiting || owner->limited_.load())) {
    if (!waiting) {
      changed.wait(guard);
      continue;
    }
    if (Ticket* ready = grant(Clock::now())) {
      Device& below = owner->below_;
      guard.unlock();
      while (Ticket* ticket = ready) {
        ready = ticket->next_ready;
        Request& request = *ticket->request;
        below.submit(request);
      }
      guard.lock();
      continue;
    }
    Clock::time_point next = Clock::time_point::max();
    for (const Bucket& bucket : buckets) {
      if (bucket.head) next = std::min(next, bucket.next_tick());
    }
    if (next != Clock::time_point::max()) changed.wait_until(guard, next);
  }
  thread_runs = false;
}

void Throttle::shut_down(int result) {
  limited_ = 0;
  for (auto& rate : rate_) rate = 0;
  version_.fetch_add(1, std::memory_order_release);
  State* s = state_.existing();
  if (!s) return;
  Ticket* ended = nullptr;
  {
    std::lock_guard<std::mutex> guard(s->lock);
    Ticket** tail = &ended;
    for (unsigned k = 0; k < kinds; ++k) {
      Bucket& bucket = s->buckets[k];
      while (Ticket* ticket = bucket.head) {
        bucket.head = ticket->need(k).next;
        if (--ticket->needs_open) continue;
        --s->waiting;
        ticket->result = result;
        ticket->is_over = true;
        if (ticket->has_waiter) continue;
        *tail = ticket;
        tail = &ticket->next_ready;
      }
      bucket.tail = nullptr;
    }
    s->reload(*this);
    s->changed.notify_all();
  }
  while (Ticket* ticket = ended) {
    ended = ticket->next_ready;
    Request& request = *ticket->request;
    request.done(&request, result);
  }
}

}  // namespace cbd::block
