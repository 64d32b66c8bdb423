// See limits.h.
#include "rbd/limits.h"

#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace cbd::rbd {

using block::Throttle;

std::optional<uint64_t> parse_size(const std::string& text) {
  if (text.empty() || !isdigit(static_cast<unsigned char>(text[0]))) return std::nullopt;
  errno = 0;
  char* end = nullptr;
  uint64_t number = strtoull(text.c_str(), &end, 10);
  if (errno != 0) return std::nullopt;
  if (*end == '\0' || strcmp(end, "B") == 0) return number;
  static const char* const suffixes = "KMGTPE";
  const char* found = strchr(suffixes, toupper(static_cast<unsigned char>(*end)));
  if (found == nullptr) return std::nullopt;
  std::string rest = end + 1;
  if (!rest.empty() && rest != "i" && rest != "B" && rest != "iB") return std::nullopt;
  const int shift = 10 * static_cast<int>(found - suffixes + 1);
  if (number > (UINT64_MAX >> shift)) return std::nullopt;
  return number << shift;
}

void set_limits(Throttle& throttle, const std::function<std::string(const std::string&)>& option) {
  static const char* const names[Throttle::kinds] = {"iops", "bps", "read_iops", "write_iops", "read_bps", "write_bps"};
  for (int i = 0; i < Throttle::kinds; i++) {
    const std::string prefix = std::string("rbd_qos_") + names[i];
    Throttle::Limit limit;
    limit.rate = parse_size(option(prefix + "_limit")).value_or(0);
    limit.burst = parse_size(option(prefix + "_burst")).value_or(0);
    limit.burst_seconds = parse_size(option(prefix + "_burst_seconds")).value_or(1);
    if (limit.burst_seconds == 0) limit.burst_seconds = 1;
    const auto kind = static_cast<Throttle::Kind>(i);
    if (throttle.set_limit(kind, limit) != 0) {
      limit.burst = 0;
      throttle.set_limit(kind, limit);
    }
  }
  throttle.set_schedule_tick_min(parse_size(option("rbd_qos_schedule_tick_min")).value_or(50));
}

}  // namespace cbd::rbd
