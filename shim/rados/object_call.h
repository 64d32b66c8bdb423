// An atomic call on one object: operations in the daemon's words (docs/protocol-objects.md), and where each one's answer goes.
#pragma once

#include <sys/types.h>
#include <time.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/fork.h"
#include "rados/completion.h"
#include "rados/handles.h"

namespace cbd::rados {

using control::Json;

// The asynchronous calls of an ioctx that are under way, and the version that its last call saw.
class ObjectTraffic final : public control::ForkAware {
 public:
  ObjectTraffic() { control::register_for_fork(this); }
  ~ObjectTraffic() { control::unregister_for_fork(this); }

  uint64_t begin();
  void end(uint64_t call);
  // Returns when every call begun before has ended.
  void flush();
  // `then` runs when they have, at once where there is none.
  void flush(std::function<void()> then);

  void set_version(uint64_t version);
  uint64_t version();

  void before_fork() override { mutex_.lock(); }
  void after_fork_in_parent() override { mutex_.unlock(); }
  void after_fork_in_child() override;

 private:
  std::mutex mutex_;  // guards all below
  uint64_t next_ = 1;
  std::set<uint64_t> running_;
  std::vector<std::pair<uint64_t, std::function<void()>>> waiting_;  // for all calls below the number
  uint64_t version_ = 0;
};

class ObjectCall {
 public:
  // Gets an operation's code and answer. For operations that were not reached: 0 and an empty object.
  using Sink = std::function<void(int rc, const Json& answer)>;

  // `reading`: it changes nothing.
  enum class Kind { reading, writing };
  explicit ObjectCall(Kind kind) : kind_(kind) {}

  void add(Json operation, Sink sink = {});
  // LIBRADOS_OP_FLAG_* of the operation added last.
  void set_flags(int flags);
  bool empty() const { return operations_.empty(); }

  // 0 or what the first operation that failed gave; -EOPNOTSUPP on an ioctx with a locator key or a read snapshot;
  // -EMSGSIZE for more data than one request carries.
  int run(IoCtx& io, const char* object, std::optional<timespec> mtime = {});
  // The same; `result` makes the completion's value out of the code. Returns 0 or -errno, then nothing will be completed.
  int run(IoCtx& io, const char* object, rados_completion_t completion, std::optional<timespec> mtime = {},
          std::function<int64_t(int rc)> result = {});

 private:
  int prepare(const IoCtx& io, const char* object, const std::optional<timespec>& mtime, Json& params) const;
  static int take(const std::vector<Sink>& sinks, const control::Reply& reply, uint64_t& version);
  const char* method() const { return kind_ == Kind::reading ? "object.read" : "object.write"; }

  Kind kind_;
  Json operations_ = Json::array();
  std::vector<Sink> sinks_;
  size_t data_size_ = 0;  // of all operations
};

inline IoCtx& io_from(rados_ioctx_t handle) { return *static_cast<IoCtx*>(handle); }

// Binary values in a request or an answer.
std::string base64(const void* data, size_t length);
std::string hex(std::string_view bytes);
std::string bytes_of(const Json& answer, const char* field);

// The data that one call may carry, as base64 in one frame to the daemon (Ceph's own limit, osd_max_write_size, is 90 MiB).
constexpr size_t longest_data = 8 << 20;

// Longer buffers are refused with -E2BIG, as librados does.
inline bool too_long(size_t length) { return length > UINT32_MAX / 2; }

}  // namespace cbd::rados
