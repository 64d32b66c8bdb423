// See layer_questions.h.
#include "rbd/layer_questions.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <nlohmann/json.hpp>

namespace cbd::rbd {

namespace {

using block::Extent;
using control::Json;
using control::Reply;
using Clock = std::chrono::steady_clock;

constexpr uint32_t kPatienceMs = 2000;
constexpr std::chrono::seconds kPause{30};
// What is asked for at a time: the daemon asks the MDS once for each GiB of it.
constexpr uint64_t kPiece = uint64_t{64} << 30;

// Reads [[offset, length], ...], ascending and within [begin, end). Returns 0 or -EIO.
int parse_ranges(const Json& result, uint64_t begin, uint64_t end, std::vector<Extent>& out) {
  try {
    for (const Json& range : result.at("allocated")) {
      const uint64_t offset = range.at(0).get<uint64_t>(), length = range.at(1).get<uint64_t>();
      if (offset < begin || offset > end || length > end - offset) return -EIO;
      out.push_back({Extent::Kind::data, offset, length});
      begin = offset + length;
    }
    return 0;
  } catch (const Json::exception&) {
    return -EIO;
  }
}

}  // namespace

block::nebd::AskLeave leave_question(std::shared_ptr<control::Client> client, uint64_t handle, const std::string& layer) {
  return [client = std::move(client), handle, layer](const block::nebd::LeaveAnswer& answer) {
    client->call_async("layer.get", {{"handle", handle}, {"layer", layer}}, [answer](const Reply& reply) {
      if (reply.error != 0) return answer(reply.error == -ENOENT ? -ESHUTDOWN : reply.error);
      auto current = reply.result->find("current");
      answer(current != reply.result->end() && *current == true ? 0 : -ESHUTDOWN);
    });
  };
}

block::AskAllocated allocated_question(std::shared_ptr<control::Client> client, uint64_t handle, const std::string& layer) {
  auto silent_until = std::make_shared<std::atomic<Clock::rep>>(0);
  return [client = std::move(client), handle, layer, silent_until](uint64_t offset, uint64_t length, std::vector<Extent>& out) {
    for (const uint64_t end = offset + length; offset < end;) {
      if (Clock::now().time_since_epoch().count() < silent_until->load()) return -EAGAIN;
      const uint64_t piece = std::min(kPiece, end - offset);
      Reply reply = client->call("layer.allocated", {{"handle", handle}, {"layer", layer}, {"offset", offset}, {"length", piece}}, kPatienceMs);
      const int error = reply.error != 0 ? reply.error : parse_ranges(*reply.result, offset, offset + piece, out);
      if (error != 0) {
        silent_until->store((Clock::now() + kPause).time_since_epoch().count());
        return error;
      }
      offset += piece;
    }
    return 0;
  };
}

}  // namespace cbd::rbd
