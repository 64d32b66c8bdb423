#include "rados/object_call.h"

#include <errno.h>

#include "control/proof.h"

namespace cbd::rados {

uint64_t ObjectTraffic::begin() {
  std::lock_guard lock(mutex_);
  running_.insert(next_);
  return next_++;
}

void ObjectTraffic::end(uint64_t call) {
  std::vector<std::function<void()>> due;
  {
    std::lock_guard lock(mutex_);
    running_.erase(call);
    uint64_t oldest = running_.empty() ? UINT64_MAX : *running_.begin();
    std::erase_if(waiting_, [&](auto& entry) {
      if (entry.first > oldest) return false;
      due.push_back(std::move(entry.second));
      return true;
    });
  }
  for (auto& then : due) then();
}

void ObjectTraffic::flush(std::function<void()> then) {
  {
    std::lock_guard lock(mutex_);
    if (!running_.empty()) {
      waiting_.emplace_back(next_, std::move(then));
      return;
    }
  }
  then();
}

void ObjectTraffic::flush() {
  std::mutex mutex;  // guards `over`
  std::condition_variable changed;
  bool over = false;
  flush([&] {
    std::lock_guard lock(mutex);
    over = true;
    changed.notify_one();
  });
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return over; });
}

void ObjectTraffic::set_version(uint64_t version) {
  std::lock_guard lock(mutex_);
  version_ = version;
}

uint64_t ObjectTraffic::version() {
  std::lock_guard lock(mutex_);
  return version_;
}

// The parent's calls end in the parent.
void ObjectTraffic::after_fork_in_child() {
  running_.clear();
  waiting_.clear();
  mutex_.unlock();
}

void ObjectCall::add(Json operation, Sink sink) {
  // No object reaches this far, and larger numbers do not pass exactly through JSON.
  constexpr uint64_t far_behind = uint64_t{1} << 52;
  for (const char* field : {"offset", "length", "size"}) {
    auto number = operation.find(field);
    if (number != operation.end() && number->get<uint64_t>() > far_behind) *number = far_behind;
  }
  auto data = operation.find("data");
  if (data != operation.end()) data_size_ += data->get_ref<const std::string&>().size() / 4 * 3;
  operations_.push_back(std::move(operation));
  sinks_.push_back(std::move(sink));
}

void ObjectCall::set_flags(int flags) {
  if (!operations_.empty()) operations_.back()["flags"] = static_cast<unsigned>(flags);
}

int ObjectCall::prepare(const IoCtx& io, const char* object, const std::optional<timespec>& mtime, Json& params) const {
  if (object == nullptr) return -EINVAL;
  if (data_size_ > longest_data) return -EMSGSIZE;
  if (!io.locator_key.empty() || io.read_snap != static_cast<uint64_t>(-2)) return -EOPNOTSUPP;
  params = {{"at", {{"pool", io.pool_id}, {"namespace", io.name_space}}}, {"name", object}, {"ops", operations_}};
  if (mtime) params["mtime"] = {{"sec", mtime->tv_sec}, {"nsec", mtime->tv_nsec}};
  return 0;
}

int ObjectCall::take(const std::vector<Sink>& sinks, const control::Reply& reply, uint64_t& version) {
  const Json nothing = Json::object();
  try {
    int rc = reply.error;
    const Json* results = nullptr;
    if (rc == 0) {
      rc = reply.result->at("rc").get<int>();
      version = reply.result->at("version").get<uint64_t>();
      results = &reply.result->at("results");
    }
    for (size_t i = 0; i < sinks.size(); i++) {
      if (!sinks[i]) continue;
      bool reached = results != nullptr && i < results->size();
      const Json& answer = reached ? (*results)[i] : nothing;
      sinks[i](reached ? answer.at("rc").get<int>() : 0, answer);
    }
    return rc;
  } catch (const Json::exception&) {
    return -EPROTO;
  }
}

int ObjectCall::run(IoCtx& io, const char* object, std::optional<timespec> mtime) {
  Json params;
  int error = prepare(io, object, mtime, params);
  if (error != 0) return error;
  uint64_t version = io.objects->version();
  int rc = take(sinks_, io.client->call(method(), std::move(params)), version);
  io.objects->set_version(version);
  return rc;
}

int ObjectCall::run(IoCtx& io, const char* object, rados_completion_t handle, std::optional<timespec> mtime,
                    std::function<int64_t(int rc)> result) {
  Json params;
  int error = prepare(io, object, mtime, params);
  if (error != 0) return error;
  auto* completion = Completion::from(handle);
  completion->start();
  auto traffic = io.objects;
  uint64_t call = traffic->begin();
  io.client->call_async(method(), std::move(params),
                        [completion, traffic, call, sinks = sinks_, result = std::move(result)](control::Reply reply) {
                          uint64_t version = 0;
                          int rc = take(sinks, reply, version);
                          traffic->set_version(version);
                          completion->set_version(version);
                          // A flush may return only when the callback has been.
                          completion->finish(rc == 0 && result ? result(rc) : rc);
                          traffic->end(call);
                        });
  return 0;
}

std::string base64(const void* data, size_t length) {
  return control::to_base64({static_cast<const char*>(data), length});
}

std::string hex(std::string_view bytes) { return control::to_hex(bytes); }

std::string bytes_of(const Json& answer, const char* field) {
  std::string bytes;
  control::from_base64(answer.at(field).get_ref<const std::string&>(), bytes);
  return bytes;
}

}  // namespace cbd::rados
